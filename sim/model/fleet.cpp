#include "sim/model/fleet.hpp"

#include <algorithm>

#include "shared/policy/wave_members.hpp"
#include "sim/model/draw.hpp"

namespace lamina::sim {

Fleet::Fleet(const Scenario& scenario, std::uint64_t seed) : scenario_(scenario), random_(seed) {
  std::uint64_t devices = 0;
  const bool varies = seed != scenario.run.seed && scenario.uncertainty.wan > 0;
  for (Index i = 0; i < scenario.sites.size(); ++i) {
    first_.push_back(devices);
    devices += static_cast<std::uint64_t>(scenario.sites[i].devices);
    const double spread = 2 * random_.uniform(i, kLineFactor) - 1;
    factors_.push_back(varies ? 1 + scenario.uncertainty.wan * spread : 1.0);
  }
}

Index Fleet::site_of(std::uint64_t device) const {
  return static_cast<Index>(std::ranges::upper_bound(first_, device) - first_.begin() - 1);
}

DeviceId Fleet::id(std::uint64_t device) const {
  std::array<std::byte, DeviceId::kSize> bytes{};
  const std::uint64_t high = random_.bits(device, kDeviceId);
  for (std::size_t i = 0; i < 8; ++i) {  // Big-endian: ids compare as these numbers do.
    bytes[7 - i] = static_cast<std::byte>(high >> (8 * i) & 0xff);
    bytes[15 - i] = static_cast<std::byte>(device >> (8 * i) & 0xff);
  }
  return DeviceId(bytes);
}

std::uint64_t Fleet::number(const DeviceId& id) {
  std::uint64_t device = 0;
  for (std::size_t i = 8; i < DeviceId::kSize; ++i)
    device = device << 8 | std::to_integer<std::uint64_t>(id.bytes()[i]);
  return device;
}

std::vector<DrawnDevice> Fleet::site(Index index) const {
  const Site& site = scenario_.sites[index];
  const Mix& mix = scenario_.mixes[site.mix];
  double weights = 0;
  for (const DeviceKind& kind : mix.kinds) weights += kind.weight;
  const double kind_offset = random_.uniform(index, kKindOffset);
  const double wireless_offset = random_.uniform(index, kWirelessOffset);
  const double failure_offset = random_.uniform(index, kFailureOffset);

  std::vector<DrawnDevice> devices(static_cast<std::size_t>(site.devices));
  std::size_t at = 0;
  std::int64_t by_site = 0;
  double upto = 0;
  for (std::size_t k = 0; k < mix.kinds.size(); ++k) {
    const DeviceKind& kind = mix.kinds[k];
    upto += kind.weight / weights;
    const double end = std::floor(upto * static_cast<double>(site.devices) + kind_offset);
    const std::size_t until = k + 1 == mix.kinds.size()
                                  ? devices.size()
                                  : std::min(devices.size(), static_cast<std::size_t>(end));
    for (; at < until; ++at) {
      DrawnDevice& device = devices[at];
      device.id = id(first_[index] + at);
      device.need = scenario_.content.versions[kind.version].parts;
      device.presence = kind.presence;
      device.is_wireless = kind.access == Access::wireless ||
                           (kind.access == Access::by_site &&
                            is_drawn(site.wireless_share, by_site++, wireless_offset));
      device.fails =
          is_drawn(scenario_.rollout.failure_share, static_cast<std::int64_t>(at), failure_offset);
    }
  }
  join_waves(index, devices);
  return devices;
}

// By the very function that resolves a rollout's file.
void Fleet::join_waves(Index index, std::vector<DrawnDevice>& devices) const {
  std::vector<policy::PlacedDevice> fleet;
  for (std::size_t wave = 0; wave < scenario_.rollout.waves.size(); ++wave) {
    const auto& members = scenario_.rollout.waves[wave].members;
    const auto member = std::ranges::lower_bound(members, index, {}, &Wave::Member::site);
    if (member == members.end() || member->site != index) continue;
    const std::string& name = scenario_.sites[index].name;
    if (fleet.empty()) {
      for (const DrawnDevice& device : devices) fleet.push_back({name, device.id});
      std::ranges::sort(fleet);
    }
    policy::WaveNames names;
    names.shares.push_back({name, member->percent});
    const auto index_of = [&](const DeviceId& id) {
      return static_cast<std::size_t>(number(id) - first_[index]);
    };
    const auto taken = [&](const DeviceId& id) { return devices[index_of(id)].wave != kNoWave; };
    for (const policy::PlacedDevice& placed : policy::wave_members(names, fleet, taken))
      devices[index_of(placed.device)].wave = static_cast<std::uint8_t>(wave);
  }
}

}  // namespace lamina::sim
