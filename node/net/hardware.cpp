#include "node/net/hardware.hpp"

#include <algorithm>

#include "shared/base/bytes.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

// Linux, Documentation/ABI/testing/sysfs-class-dmi: what names a model, and nothing that names one
// machine or that only root may read.
constexpr const char* kDmi[] = {"bios_vendor",  "bios_version",    "board_name",     "board_vendor",
                                "chassis_type", "chassis_vendor",  "product_family", "product_name",
                                "product_sku",  "product_version", "sys_vendor"};
static_assert(std::size(kDmi) <= wire::kDmiMax);
constexpr std::size_t kValueMax = 128;

// Of a small file, without the blanks at its ends; "": there is none.
std::string line_of(const std::string& path) {
  auto text = os::read_text(path, 4096);
  if (!text) return {};
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text->find_first_not_of(kBlanks);
  if (begin == text->npos) return {};
  const std::string line = text->substr(begin, text->find_first_of("\r\n", begin) - begin);
  return printable(line.substr(0, line.find_last_not_of(kBlanks) + 1), kValueMax);
}

// "0x8086" as "8086": what stands there is hex of a fixed width.
std::string id_of(const std::string& path) {
  std::string id = line_of(path);
  return id.starts_with("0x") ? id.substr(2) : id;
}

}  // namespace

wire::Hardware read_hardware(const std::string& sys) {
  wire::Hardware hardware;
  for (const char* name : kDmi)
    if (auto value = line_of(sys + "/class/dmi/id/" + name); !value.empty())
      hardware.dmi.emplace(name, std::move(value));
  const std::string pci = sys + "/bus/pci/devices/";
  const auto slots = os::list_directory(pci);
  for (const std::string& slot : slots ? *slots : std::vector<std::string>()) {
    const auto id = [&](const char* name) { return id_of(pci + slot + '/' + name); };
    const std::string vendor = id("vendor"), device = id("device");
    if (vendor.empty() || device.empty()) continue;
    hardware.pci.push_back(vendor + ':' + device + '/' + id("subsystem_vendor") + ':' +
                           id("subsystem_device") + '/' + id("class"));
  }
  std::ranges::sort(hardware.pci);
  hardware.pci.erase(std::unique(hardware.pci.begin(), hardware.pci.end()), hardware.pci.end());
  if (hardware.pci.size() > wire::kPciMax) hardware.pci.resize(wire::kPciMax);
  return hardware;
}

}  // namespace lamina::node
