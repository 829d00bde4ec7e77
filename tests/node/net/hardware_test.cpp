#include "node/net/hardware.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "shared/os/file.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;

namespace {

struct Machine {
  lamina::tests::Scratch scratch;
  std::string sys = scratch / "sys";

  void put(const std::string& path, const std::string& text) {
    std::string at = sys;
    for (std::size_t end = 0; end != path.npos; at = sys + path.substr(0, end)) {
      ::mkdir(at.c_str(), 0755);
      end = path.find('/', end + 1);
    }
    REQUIRE(os::write_file(sys + path, as_view(text), 0644));
  }
  void slot(const std::string& name, const std::string& vendor, const std::string& device) {
    const std::string place = "/bus/pci/devices/" + name + '/';
    put(place + "vendor", "0x" + vendor + "\n");
    put(place + "device", "0x" + device + "\n");
    put(place + "subsystem_vendor", "0x1028\n");
    put(place + "subsystem_device", "0x0a21\n");
    put(place + "class", "0x020000\n");
  }
};

}  // namespace

TEST_CASE("hardware: what sysfs says, in order and each once", "[node]") {
  Machine machine;
  machine.put("/class/dmi/id/product_name", "  Latitude 5420 \n");
  machine.put("/class/dmi/id/sys_vendor", "\n");
  machine.put("/class/dmi/id/product_serial", "SECRET\n");
  machine.slot("0000:00:1f.6", "8086", "15fc");
  machine.slot("0000:00:02.0", "10de", "1f9d");
  machine.slot("0000:01:00.0", "8086", "15fc");
  const auto hardware = read_hardware(machine.sys);
  CHECK(hardware.dmi == std::map<std::string, std::string>{{"product_name", "Latitude 5420"}});
  CHECK(hardware.pci ==
        std::vector<std::string>{"10de:1f9d/1028:0a21/020000", "8086:15fc/1028:0a21/020000"});
}

TEST_CASE("hardware: a machine that says nothing, and one that says too much", "[node]") {
  Machine machine;
  CHECK(read_hardware(machine.sys) == wire::Hardware());
  machine.put("/class/dmi/id/product_name", std::string(1000, 'x'));
  for (int i = 0; i < 600; ++i) machine.slot(std::to_string(i), "8086", std::to_string(1000 + i));
  machine.put("/bus/pci/devices/none/vendor", "0x1\n");  // No device.
  const auto hardware = read_hardware(machine.sys);
  CHECK(hardware.dmi.at("product_name").size() < 256);
  CHECK(hardware.pci.size() == wire::kPciMax);
  wire::PollRequest poll;
  poll.hardware = hardware;
  const auto read = wire::parse_poll_request(wire::to_json(poll));
  REQUIRE(read);
  CHECK(read->hardware == hardware);
}
