#include "tests/sim/model/big_scenario.hpp"

#include <algorithm>
#include <string>

#include "sim/engine/random.hpp"

namespace lamina::sim::testing {

using namespace std::chrono_literals;

Scenario big_scenario(int sites) {
  const Random random(2026);
  Scenario scenario;
  scenario.name = "a day of many sites";
  scenario.run.start = {4 * 86'400'000'000'000};  // A Monday.
  scenario.origin = {.uplink = {400'000'000'000}, .downlink = {400'000'000'000}};
  Load office{.name = "office"};
  for (std::size_t hour = 0; hour < kHoursPerWeek; ++hour)
    office.down[hour] = office.up[hour] = hour % 24 >= 8 && hour % 24 < 18 ? 0.8 : 0.2;
  scenario.loads = {office};
  const Presence always{.name = "always", .reboot_every = 24h, .reboot_takes = 3min};
  const Presence day{.name = "day",
                     .windows = {{.start = 480, .end = 1050}},
                     .spread = 45min,
                     .absent = 0.05,
                     .reboot_every = 24h,
                     .reboot_takes = 3min};
  const Presence laptop{.name = "laptop",
                        .windows = {{.start = 480, .end = 750}, {.start = 790, .end = 1050}},
                        .spread = 20min,
                        .absent = 0.1};
  scenario.presences = {always, day, laptop};
  scenario.content.parts = {
      {"all", {400'000'000}}, {"older", {800'000'000}}, {"oldest", {4'800'000'000}}};
  scenario.content.versions = {{"last", 0b001}, {"older", 0b011}, {"oldest", 0b111}};
  Mix mix{.name = "offices"};
  for (const auto& [version, share] : {std::pair(0, 0.6), std::pair(1, 0.3), std::pair(2, 0.1)})
    for (const auto& [presence, part] : {std::pair(0, 0.3), std::pair(1, 0.4), std::pair(2, 0.3)})
      mix.kinds.push_back({.weight = share * part,
                           .version = static_cast<Index>(version),
                           .presence = static_cast<Index>(presence)});
  scenario.mixes = {mix};
  for (int i = 0; i < sites; ++i) {
    const auto entity = static_cast<std::uint64_t>(i);
    Site site;
    site.name = "s" + std::to_string(1'000'000 + i);
    site.utc_offset = std::chrono::hours{static_cast<int>(random.uniform(entity, 1) * 17) - 8};
    site.devices = 100;
    const double rate = 20e6 * portable_exp(0.7 * random.normal(entity, 2));
    site.wan_down = site.wan_up = {static_cast<std::int64_t>(std::clamp(rate, 2e6, 1e9))};
    site.rtt = Duration(static_cast<std::int64_t>(1e7 + 1.5e8 * random.uniform(entity, 3)));
    site.loss = 1e-4 * portable_exp(random.normal(entity, 4));
    site.load = 0;
    site.lan = {1'000'000'000};
    site.wireless_share = 0.3;
    site.wireless = {300'000'000};
    scenario.sites.push_back(site);
  }
  Wave wave{.gates = {.success_percent = 20, .failure_percent = 5}};
  int number = 0;
  for (const int percent : {1, 10, 100}) {
    wave.name = "wave" + std::to_string(++number);
    wave.start = (number - 1) * 2h;
    wave.members.clear();
    const int count = std::max(1, sites * percent / 100);
    for (int i = 0; i < count; ++i) wave.members.push_back({.site = static_cast<Index>(i)});
    scenario.rollout.waves.push_back(wave);
  }
  scenario.tcp.connections = 4;
  scenario.swarm.efficiency = {{.peers = 100, .pieces = 1000, .eta = 0.85}};
  scenario.uploads = {.per_day = {50'000'000}, .times = 5};
  scenario.deaths = {{.share = 0.05, .at = Instant(4h + 10min)}};
  return scenario;
}

}  // namespace lamina::sim::testing
