// Which devices a wave of a rollout names: whole sites, single devices, shares of a site.
//
// Pure functions; any thread.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::policy {

struct PlacedDevice {
  std::string site;
  DeviceId device;
  auto operator<=>(const PlacedDevice&) const = default;
};

struct WaveNames {
  // The first `percent` (1 to 100, rounded up) of the site's devices in the order of their ids,
  // which are random. Two waves with 10 and 50 % of a site share the first 10 %: together they are
  // half of the site.
  struct Share {
    std::string site;
    int percent = 0;
    bool operator==(const Share&) const = default;
  };
  std::vector<std::string> sites;
  std::vector<DeviceId> devices;
  std::vector<Share> shares;
  bool operator==(const WaveNames&) const = default;
};

// The devices that `names` means, ascending, each once, without those that `taken` says are in an
// earlier wave. `fleet` is ascending; listed devices that are not in it are left out. Takes
// O(names * log fleet + members * log members), and one pass over the fleet where devices are
// listed.
std::vector<PlacedDevice> wave_members(const WaveNames& names, std::span<const PlacedDevice> fleet,
                                       const std::function<bool(const DeviceId&)>& taken);

}  // namespace lamina::policy
