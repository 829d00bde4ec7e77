#include "sim/lab/measured.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

#include "shared/base/bytes.hpp"
#include "sim/report/json_reading.hpp"
#include "sim/report/tally.hpp"

namespace lamina::sim {
namespace {

using std::chrono::milliseconds;
using Json = nlohmann::json;

Instant instant(const Json& value) { return Instant(milliseconds(count_in(value, kTimeMsMax))); }

// A run of the lab is not longer than an hour.
LineResult line_of(const Json& site, Index index, Direction direction, BitRate rate) {
  const std::string way(name_of(direction));
  return {.kind = LineKind::site,
          .index = index,
          .direction = direction,
          .rate = rate,
          .hours = {Bytes{count_in(site.at(way + "_wire_bytes"), kCountMax)}},
          .saturated = milliseconds(count_in(site.at(way + "_full_ms"), kTimeMsMax))};
}

SiteResult site_of(const Json& site, const Site& of, const std::vector<Instant>& done) {
  SiteResult result{.devices = of.devices, .done = static_cast<std::int64_t>(done.size())};
  if (result.done == result.devices) result.finished = done.back();
  const Json& bytes = site.at("bytes_by_source");
  for (std::size_t i = 0; i < kSources; ++i) {
    const std::string source(name_of(static_cast<Source>(i)));
    if (bytes.contains(source)) result.bytes[i] = {count_in(bytes.at(source), kCountMax)};
  }
  return result;
}

RunResult read(const Json& top, const Scenario& scenario) {
  RunResult result{.engine_version = LAMINA_VERSION ", measured in the lab",
                   .input_hash = scenario.input_hash,
                   .seed = scenario.run.seed};
  std::vector<Instant> all;
  LineResult down{.kind = LineKind::origin, .rate = scenario.origin.uplink, .hours = {{}}};
  LineResult up = down;
  up.direction = Direction::up;
  up.rate = scenario.origin.downlink;
  std::vector<LineResult> lines;
  for (Index i = 0; i < scenario.sites.size(); ++i) {
    const Json& site = top.at("sites").at(i);
    const Site& of = scenario.sites[i];
    std::vector<Instant> done;
    for (const Json& at : site.at("done_ms")) done.push_back(instant(at));
    std::ranges::sort(done);
    all.insert(all.end(), done.begin(), done.end());
    result.sites.push_back(site_of(site, of, done));
    lines.push_back(line_of(site, i, Direction::down, of.wan_down));
    down.hours[0] += lines.back().hours[0];
    lines.push_back(line_of(site, i, Direction::up, of.wan_up));
    up.hours[0] += lines.back().hours[0];
  }
  std::ranges::sort(all);
  WaveResult wave{.name = scenario.rollout.waves.front().name, .devices = devices_of(scenario)};
  tally(wave, all, {}, instant(top.at("began_ms")));
  result.waves = {wave};
  result.totals =
      totals_of(scenario.rollout.mode, result.waves, down, lines, scenario.run.duration);
  result.lines = {down, up};
  result.lines.insert(result.lines.end(), lines.begin(), lines.end());
  result.replicas = {replica_of(result.seed, result.waves, result.totals)};
  return result;
}

}  // namespace

Result<RunResult> measured_result(std::string_view text, const Scenario& scenario) {
  try {
    const Json top = Json::parse(text);
    if (!top.is_object() || top.value("format", "") != kMeasuredFormat ||
        top.value("version", 0) != kMeasuredVersion)
      return fail(ErrorKind::invalid, "it is nothing that the lab measured, or of another version");
    const auto name = [](const Json& site) { return site.at("name").get<std::string>(); };
    const auto is_of = [&](const Json& site, const Site& of) { return name(site) == of.name; };
    if (!std::ranges::equal(top.at("sites"), scenario.sites, is_of))
      return fail(ErrorKind::invalid, "its sites are not those of the scenario");
    const Instant began = instant(top.at("began_ms"));
    for (Index i = 0; i < scenario.sites.size(); ++i) {
      const Json& done = top.at("sites").at(i).at("done_ms");
      if (static_cast<std::int64_t>(done.size()) > scenario.sites[i].devices)
        return fail(ErrorKind::invalid, "more devices are done than the site has");
      if (std::ranges::any_of(done, [&](const Json& at) { return instant(at) < began; }))
        return fail(ErrorKind::invalid, "a device is done before the wave begins (began_ms)");
    }
    return read(top, scenario);
  } catch (const Json::exception& error) {
    return fail(ErrorKind::invalid, text_of(error));
  }
}

}  // namespace lamina::sim
