#include "sim/model/plan.hpp"

#include <cmath>

namespace lamina::sim {
namespace {

constexpr double kBitsPerByte = 8;

}  // namespace

Rate bytes_per_second(BitRate rate) {
  return static_cast<double>(rate.bits_per_second) / kBitsPerByte;
}

BitRate bit_rate(Rate bytes_per_second) { return {std::llround(bytes_per_second * kBitsPerByte)}; }

Rate Plan::content(BitRate rate) const { return bytes_per_second(rate) * scenario.tcp.goodput; }

Groups::Groups(const Plan& plan) {
  const Scenario& scenario = plan.scenario;
  const std::size_t regions = scenario.regions.size();
  region_down.assign(regions, 0);
  region_up.assign(regions, 0);
  seeder.assign(regions, 0);
  if (!plan.bounded) {
    down = up = {{}};
    site_down.assign(scenario.sites.size(), 0);
    site_up = site_down;
    return;
  }
  down = {{}, {0, plan.content(scenario.origin.uplink)}};
  up = {{}, {0, plan.content(scenario.origin.downlink)}};
  // Where a region's children hang: its own line, its seeder, or what its parent's do.
  std::vector<std::uint32_t> hang_down(regions), hang_up(regions);
  const auto add = [](std::vector<TrunkGroup>& groups, std::uint32_t parent, Rate line) {
    groups.push_back({parent, line});
    return static_cast<std::uint32_t>(groups.size() - 1);
  };
  for (std::size_t i = 0; i < regions; ++i) {
    const Region& region = scenario.regions[i];
    hang_down[i] = region.parent ? hang_down[*region.parent] : origin;
    hang_up[i] = region.parent ? hang_up[*region.parent] : origin;
    if (region.seeder) {
      hang_down[i] = seeder[i] = add(down, 0, plan.content(*region.seeder));
    } else if (region.down) {  // Also below a parent's seeder.
      hang_down[i] = region_down[i] = add(down, hang_down[i], plan.content(*region.down));
    }
    if (region.up) hang_up[i] = region_up[i] = add(up, hang_up[i], plan.content(*region.up));
  }
  for (const Site& site : scenario.sites) {
    site_down.push_back(site.region ? hang_down[*site.region] : origin);
    site_up.push_back(site.region ? hang_up[*site.region] : origin);
  }
}

}  // namespace lamina::sim
