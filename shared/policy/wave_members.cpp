#include "shared/policy/wave_members.hpp"

#include <algorithm>
#include <set>

#include "shared/base/assert.hpp"

namespace lamina::policy {
namespace {

std::span<const PlacedDevice> site_of(std::span<const PlacedDevice> fleet,
                                      const std::string& site) {
  // Not ranges::equal_range: clang 14 cannot compile the subrange that g++ 12's library returns.
  const auto first = std::ranges::lower_bound(fleet, site, {}, &PlacedDevice::site);
  const auto last = std::ranges::upper_bound(fleet, site, {}, &PlacedDevice::site);
  return {first, last};
}

}  // namespace

std::vector<PlacedDevice> wave_members(const WaveNames& names, std::span<const PlacedDevice> fleet,
                                       const std::function<bool(const DeviceId&)>& taken) {
  std::vector<PlacedDevice> members;
  const auto take = [&](std::span<const PlacedDevice> devices) {
    members.insert(members.end(), devices.begin(), devices.end());
  };
  for (const std::string& site : names.sites) take(site_of(fleet, site));
  for (const WaveNames::Share& share : names.shares) {
    LAMINA_ASSERT(share.percent >= 0 && share.percent <= 100);
    const auto devices = site_of(fleet, share.site);
    take(devices.first((devices.size() * static_cast<std::size_t>(share.percent) + 99) / 100));
  }
  if (!names.devices.empty()) {
    const std::set<DeviceId> wanted(names.devices.begin(), names.devices.end());
    for (const PlacedDevice& placed : fleet)
      if (wanted.contains(placed.device)) members.push_back(placed);
  }
  std::ranges::sort(members);
  members.erase(std::unique(members.begin(), members.end()), members.end());
  std::erase_if(members, [&](const PlacedDevice& placed) { return taken(placed.device); });
  return members;
}

}  // namespace lamina::policy
