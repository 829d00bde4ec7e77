#include "node/net/fitness.hpp"

#include <catch2/catch.hpp>

#include "shared/os/file.hpp"
#include "shared/policy/decision_replay.hpp"
#include "tests/support/scratch_directory.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;
using policy::Unfit;

namespace {

// A machine made of files.
struct Machine {
  ScratchDirectory directory;
  Fitness fitness = make({});

  Fitness make(Fitness::Options options) {
    options.root = directory.path().string();
    return Fitness(std::move(options), directory.path().string());
  }
  void file(const std::string& path, const std::string& text) {
    const std::string at = directory.path().string() + path;
    REQUIRE(os::make_directories(at.substr(0, at.rfind('/'))));
    REQUIRE(os::write_file(at, as_view(text), 0644));
  }
  void supply(const std::string& name, const std::string& type, const std::string& fact,
              const std::string& value) {
    const std::string at = "/sys/class/power_supply/" + name;
    file(at + "/type", type + "\n");
    file(at + "/" + fact, value + "\n");
  }
  std::optional<Unfit> look(Duration t = 0s, bool works = false) {
    return fitness.look(works, Instant{t});
  }
};

}  // namespace

TEST_CASE("fitness: a machine that tells nothing may serve", "[node]") {
  Machine machine;
  CHECK_FALSE(machine.look());
}

TEST_CASE("fitness: a link that is said to be metered", "[node]") {
  Machine machine;
  machine.fitness = machine.make({.metered = true});
  CHECK(machine.look() == Unfit::metered);
}

TEST_CASE("fitness: on battery", "[node]") {
  Machine machine;
  SECTION("unplugged") {
    machine.supply("AC", "Mains", "online", "0");
    machine.supply("BAT0", "Battery", "status", "Discharging");
    CHECK(machine.look() == Unfit::battery);
  }
  SECTION("plugged in") {
    machine.supply("AC", "Mains", "online", "1");
    machine.supply("BAT0", "Battery", "status", "Discharging");  // Under load some do.
    CHECK_FALSE(machine.look());
  }
  SECTION("a battery alone") {
    machine.supply("BAT0", "Battery", "status", "Discharging");
    CHECK(machine.look() == Unfit::battery);
    machine.supply("BAT0", "Battery", "status", "Full");
    CHECK_FALSE(machine.look(1s));
  }
  SECTION("of a mouse") {
    machine.supply("mouse", "Battery", "status", "Discharging");
    machine.file("/sys/class/power_supply/mouse/scope", "Device\n");
    CHECK_FALSE(machine.look());
  }
  SECTION("an outlet that is off, in a machine without a battery") {
    machine.supply("USB0", "USB", "online", "0");
    CHECK_FALSE(machine.look());
  }
}

TEST_CASE("fitness: the default route decides about the link", "[node]") {
  Machine machine;
  machine.file("/sys/class/net/wlan0/phy80211", "");
  machine.file("/sys/class/net/eth0/address", "");
  const std::string head = "Iface\tDestination\tGateway\n";
  machine.file("/proc/net/route", head + "wlan0\t0000A8C0\t00000000\neth0\t00000000\t0100A8C0\n");
  CHECK_FALSE(machine.look());
  machine.file("/proc/net/route", head + "wlan0\t00000000\t0100A8C0\n");
  CHECK(machine.look() == Unfit::wireless);
}

TEST_CASE("fitness: a busy processor counts when it lasts, and not for one that works for its site",
          "[node]") {
  Machine machine;
  std::uint64_t busy = 1000, idle = 5000;
  const auto runs = [&](std::uint64_t busy_ticks, std::uint64_t idle_ticks) {
    busy += busy_ticks, idle += idle_ticks;
    machine.file("/proc/stat", "cpu  " + std::to_string(busy) + " 0 0 " + std::to_string(idle) +
                                   " 0 0 0 0 0 0\ncpu0 1 2 3 4\n");
  };
  runs(0, 0);
  CHECK_FALSE(machine.look(0s));
  for (Duration t = 10s; t < 40s; t += 10s) {
    runs(950, 50);
    CHECK_FALSE(machine.look(t));
  }
  runs(950, 50);
  CHECK(machine.look(40s) == Unfit::cpu);
  for (Duration t = 50s; t < 80s; t += 10s) {
    runs(950, 50);
    CHECK(machine.look(t, true) == Unfit::cpu);
  }
  runs(950, 50);
  CHECK_FALSE(machine.look(80s, true));
}

TEST_CASE("fitness: what was found is recorded, and decided again", "[node]") {
  std::vector<std::string> lines;
  policy::DecisionLog log([&](std::string_view line) { lines.emplace_back(line); });
  Machine machine;
  machine.fitness = machine.make({.record = &log});
  machine.supply("BAT0", "Battery", "status", "Charging");
  CHECK_FALSE(machine.look(1s));
  machine.supply("BAT0", "Battery", "status", "Discharging");
  CHECK(machine.look(2s) == Unfit::battery);
  REQUIRE(lines.size() == 4);
  CHECK(lines[3].ends_with(" : on-battery"));
  policy::DecisionReplay replay;
  for (const std::string& line : lines) CHECK(replay.take(line));
  CHECK(replay.decisions() == 2);
}

TEST_CASE("fitness: the user's word and the disk", "[node]") {
  Machine machine;
  machine.fitness = machine.make({.user_allows = false});
  CHECK(machine.look() == Unfit::user);
  machine.fitness = machine.make({.rules = {.disk_free_min = Bytes{INT64_MAX}}});
  CHECK(machine.look() == Unfit::disk);
}
