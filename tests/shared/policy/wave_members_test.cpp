#include "shared/policy/wave_members.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;

namespace {

DeviceId device(int n) {
  std::array<std::byte, 16> bytes{};
  bytes[15] = static_cast<std::byte>(n);
  return DeviceId(bytes);
}

// north: 1 to 10, south: 11 to 13.
std::vector<PlacedDevice> fleet() {
  std::vector<PlacedDevice> all;
  for (int n = 1; n <= 10; ++n) all.push_back({"north", device(n)});
  for (int n = 11; n <= 13; ++n) all.push_back({"south", device(n)});
  return all;
}

}  // namespace

TEST_CASE("wave members: what a wave names", "[policy]") {
  struct Row {
    const char* what;
    WaveNames names;
    std::vector<int> taken;
    std::vector<int> devices;
  };
  const Row rows[] = {
      {"nothing", {}, {}, {}},
      {"a site", {.sites = {"south"}, .devices = {}, .shares = {}}, {}, {11, 12, 13}},
      {"a site that is not there", {.sites = {"east"}, .devices = {}, .shares = {}}, {}, {}},
      {"devices", {.sites = {}, .devices = {device(12), device(2)}, .shares = {}}, {}, {2, 12}},
      {"a device that is not there", {.sites = {}, .devices = {device(99)}, .shares = {}}, {}, {}},
      {"a share", {.sites = {}, .devices = {}, .shares = {{"north", 30}}}, {}, {1, 2, 3}},
      {"a share is rounded up", {.sites = {}, .devices = {}, .shares = {{"south", 10}}}, {}, {11}},
      {"shares add up with what is taken",
       {.sites = {}, .devices = {}, .shares = {{"north", 50}}},
       {1, 2},
       {3, 4, 5}},
      {"all of a site is what is left of it",
       {.sites = {}, .devices = {}, .shares = {{"south", 100}}},
       {11},
       {12, 13}},
      {"each device once",
       {.sites = {"south"}, .devices = {device(12), device(12)}, .shares = {{"south", 50}}},
       {},
       {11, 12, 13}},
  };
  const auto all = fleet();
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const auto taken = [&](const DeviceId& id) {
      return std::ranges::any_of(row.taken, [&](int n) { return device(n) == id; });
    };
    std::vector<DeviceId> wanted, got;
    for (const int n : row.devices) wanted.push_back(device(n));
    for (const PlacedDevice& placed : wave_members(row.names, all, taken))
      got.push_back(placed.device);
    CHECK(got == wanted);
  }
}
