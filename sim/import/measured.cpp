#include "sim/import/measured.hpp"

#include <algorithm>
#include <map>

#include "shared/wire/node.hpp"
#include "shared/wire/rollout.hpp"
#include "sim/import/scenario_files.hpp"

namespace lamina::sim {
namespace {

constexpr std::int64_t kWallMsMax = 8'000'000'000'000;  // The year 2223.

Instant instant_of(std::int64_t wall_ms) { return Instant{std::chrono::milliseconds{wall_ms}}; }

// What is computed with one that is out of bounds would overflow.
bool is_moment(std::int64_t wall_ms) { return wall_ms >= 0 && wall_ms <= kWallMsMax; }
bool is_amount(const std::map<std::string, std::int64_t>& by_source) {
  return wire::over_line(by_source) <= kBytesMax.count &&
         std::ranges::all_of(by_source, [](const auto& entry) {
           return entry.second >= 0 && entry.second <= kBytesMax.count;
         });
}

Bytes from_site(const std::map<std::string, std::int64_t>& by_source) {
  Bytes sum;
  for (const Source source : {Source::lan_peer, Source::reflector})
    if (const auto bytes = by_source.find(std::string(name_of(source))); bytes != by_source.end())
      sum += Bytes{bytes->second};
  return sum;
}

}  // namespace

Result<Outcome> parse_measured(std::string_view text) {
  const auto detail = wire::parse_rollout_detail(text);
  if (!detail) return fail(detail.error());
  const wire::RolloutInfo& rollout = detail->rollout;
  if (rollout.started_ms == 0)
    return fail(ErrorKind::invalid, "rollout " + rollout.plan.name + " was not started yet");
  const auto is_impossible = [](const wire::RolloutDevice& device) {
    return !is_moment(device.outcome_ms.value_or(0)) ||
           (device.bytes_by_source && !is_amount(*device.bytes_by_source));
  };
  const auto begins_impossibly = [](const wire::RolloutWaveState& wave) {
    return !is_moment(wave.began_ms.value_or(0));
  };
  if (!is_moment(rollout.started_ms) || std::ranges::any_of(rollout.waves, begins_impossibly) ||
      std::ranges::any_of(detail->devices, is_impossible))
    return fail(ErrorKind::invalid, "a time or a number of bytes in it cannot be");
  const std::size_t waves = rollout.plan.waves.size();
  if (rollout.waves.size() != waves)
    return fail(ErrorKind::invalid, "its waves do not fit its plan");

  Outcome outcome{.scenario = rollout.plan.name, .waves = {}, .sites = {}};
  std::vector<std::vector<Instant>> done(waves);
  std::map<std::string, Outcome::Site> sites;
  for (const std::string& name : wave_names(rollout.plan))
    outcome.waves.push_back({name, 0, 0, {}});
  for (const wire::RolloutDevice& device : detail->devices) {
    if (device.outcome == "left") continue;
    if (device.wave < 0 || static_cast<std::size_t>(device.wave) >= waves)
      return fail(ErrorKind::invalid, "device " + device.device.hex() + " is in no wave of it");
    const auto wave = static_cast<std::size_t>(device.wave);
    Outcome::Site& site = sites[device.site];
    ++outcome.waves[wave].devices;
    ++site.devices;
    if (device.bytes_by_source) {
      site.from_origin += Bytes{wire::over_line(*device.bytes_by_source)};
      site.from_site += from_site(*device.bytes_by_source);
      if (std::max(site.from_origin, site.from_site) > kBytesMax)
        return fail(ErrorKind::invalid,
                    "site " + device.site + " has more bytes than there can be");
    }
    if (device.outcome != "succeeded") continue;
    ++outcome.waves[wave].done;
    ++site.done;
    if (!device.outcome_ms) continue;  // An origin of before wrote no times.
    done[wave].push_back(instant_of(*device.outcome_ms));
    const Instant since_start = instant_of(*device.outcome_ms - rollout.started_ms);
    site.finished = std::max(site.finished.value_or(since_start), since_start);
  }
  for (std::size_t wave = 0; wave < waves; ++wave) {
    if (!rollout.waves[wave].began_ms) continue;
    std::ranges::sort(done[wave]);
    outcome.waves[wave].completion = percentiles_of(done[wave], outcome.waves[wave].devices,
                                                    instant_of(*rollout.waves[wave].began_ms));
  }
  for (auto& [name, site] : sites) {
    site.name = name;
    if (site.done < site.devices) site.finished.reset();
    outcome.sites.push_back(std::move(site));
  }
  return outcome;
}

}  // namespace lamina::sim
