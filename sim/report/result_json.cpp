#include "sim/report/result_json.hpp"

#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "sim/report/figures.hpp"
#include "sim/report/json_reading.hpp"

namespace lamina::sim {
namespace {

using json = nlohmann::ordered_json;

std::int64_t milliseconds(Duration time) { return time / std::chrono::milliseconds(1); }
std::int64_t milliseconds(Instant at) { return milliseconds(at.time_since_epoch()); }

template <class Time>
json maybe(const std::optional<Time>& time) {
  return time ? json(milliseconds(*time)) : json(nullptr);
}

json record_of(const Percentiles& completion) {
  return {{"p50_ms", maybe(completion.p50)},
          {"p95_ms", maybe(completion.p95)},
          {"p99_ms", maybe(completion.p99)}};
}

json record_of(const Spread<Duration>& spread) {
  return {{"lowest_ms", maybe(spread.lowest)},
          {"median_ms", maybe(spread.median)},
          {"highest_ms", maybe(spread.highest)},
          {"reached", spread.reached}};
}

json record_of(const Totals& totals) {
  return {{"mode", name_of(totals.mode)},
          {"origin_wire_bytes", totals.origin.count},
          {"wan_down_wire_bytes", totals.wan_down.count},
          {"wan_up_wire_bytes", totals.wan_up.count},
          {"origin_peak_bits_per_s", totals.peak.bits_per_second},
          {"devices", totals.devices},
          {"done", totals.done},
          {"finished_ms", maybe(totals.finished)}};
}

json record_of(const BySource& bytes) {
  json record = json::object();
  for (std::size_t i = 0; i < kSources; ++i)
    record[std::string(name_of(static_cast<Source>(i)))] = bytes[i].count;
  return record;
}

json record_of(const Waiting& waiting) {
  json record = json::object();
  for (std::size_t i = 0; i < kLimits; ++i)
    record[std::string(name_of(static_cast<Limit>(i)))] = waiting[i];
  return record;
}

json record_of(const RunResult& result, std::size_t index) {
  const WaveResult& wave = result.waves[index];
  const WaveSpread spread = spread_of_wave(result, index);
  json curve = json::array();
  for (const CurvePoint& point : wave.curve) curve.push_back({milliseconds(point.at), point.done});
  return {{"name", wave.name},
          {"devices", wave.devices},
          {"done", wave.done},
          {"failed", wave.failed},
          {"unfinished", wave.devices - wave.done - wave.failed},
          {"began_ms", maybe(wave.began)},
          {"ended_ms", maybe(wave.ended)},
          {"since_it_began", record_of(wave.completion)},
          {"over_replicas",
           {{"p50", record_of(spread.p50)},
            {"p95", record_of(spread.p95)},
            {"p99", record_of(spread.p99)}}},
          {"curve", std::move(curve)}};
}

json record_of(const Site& site, const SiteResult& result, const LineResult& line,
               const Scenario& scenario) {
  json record{{"name", site.name}};
  if (site.region) record["region"] = scenario.regions[*site.region].name;
  record["devices"] = result.devices;
  record["done"] = result.done;
  record["finished_ms"] = maybe(result.finished);
  record["content_bytes"] = record_of(result.bytes);
  record["uploaded_bytes"] = result.uploaded.count;
  record["upload_left_bytes"] = result.upload_left.count;
  record["waiting_device_ms"] = record_of(result.waiting);
  const auto busiest = busiest_hour(line);
  record["busiest_hour"] =
      busiest ? json{{"hour", busiest->hour}, {"wire_bytes", busiest->bytes.count}} : json(nullptr);
  return record;
}

json record_of(const LineResult& line, const Scenario& scenario) {
  json hours = json::array();
  for (const Bytes bytes : line.hours) hours.push_back(bytes.count);
  return {{"kind", name_of(line.kind)},
          {"name", name_of_line(line, scenario)},
          {"direction", name_of(line.direction)},
          {"bits_per_s", line.rate.bits_per_second},
          {"saturated_ms", milliseconds(line.saturated)},
          {"wire_bytes_by_hour", std::move(hours)}};
}

json record_of(const Replica& replica) {
  json waves = json::array();
  for (const Replica::Wave& wave : replica.waves)
    waves.push_back({{"done", wave.done},
                     {"failed", wave.failed},
                     {"began_ms", maybe(wave.began)},
                     {"since_it_began", record_of(wave.completion)}});
  return {
      {"seed", replica.seed}, {"waves", std::move(waves)}, {"totals", record_of(replica.totals)}};
}

// As bytes that are UTF-8, whatever a name holds.
std::string dumped(const json& record) {
  return record.dump(-1, ' ', false, json::error_handler_t::replace);
}

// `"key": [` and a line for each of `count` records.
template <class RecordOf>
void write_list(std::ostream& out, const char* key, std::size_t count,
                const RecordOf& record_of_one) {
  out << ",\n\"" << key << "\": [";
  for (std::size_t i = 0; i < count; ++i)
    out << (i == 0 ? "\n" : ",\n") << dumped(record_of_one(i));
  out << "\n]";
}

// --- reading

using Json = nlohmann::json;

template <class Time>
std::optional<Time> time_in(const Json& record, const char* key) {
  const Json& value = record.at(key);
  if (value.is_null()) return std::nullopt;
  return Time{std::chrono::milliseconds(count_in(value, kTimeMsMax))};
}

Outcome::Wave wave_of(const Json& record) {
  const Json& times = record.at("since_it_began");
  return {record.at("name").get<std::string>(),
          count_in(record.at("devices"), kCountMax),
          count_in(record.at("done"), kCountMax),
          {time_in<Duration>(times, "p50_ms"), time_in<Duration>(times, "p95_ms"),
           time_in<Duration>(times, "p99_ms")}};
}

Outcome::Site site_of(const Json& record) {
  Outcome::Site site{record.at("name").get<std::string>(),
                     count_in(record.at("devices"), kCountMax),
                     count_in(record.at("done"), kCountMax),
                     time_in<Instant>(record, "finished_ms"),
                     {},
                     {}};
  const Json& bytes = record.at("content_bytes");
  for (const Source source :
       {Source::origin_by_lease, Source::origin_by_budget, Source::origin_by_https})
    site.from_origin += Bytes{count_in(bytes.at(std::string(name_of(source))), kCountMax)};
  for (const Source source : {Source::lan_peer, Source::reflector})
    site.from_site += Bytes{count_in(bytes.at(std::string(name_of(source))), kCountMax)};
  return site;
}

}  // namespace

void write_result_json(std::ostream& out, const Scenario& scenario, const RunResult& result) {
  const json about{{"name", scenario.name},
                   {"start", to_iso8601(scenario.run.start)},
                   {"utc_offset_s", scenario.run.utc_offset / std::chrono::seconds(1)},
                   {"duration_ms", milliseconds(scenario.run.duration)},
                   {"mode", name_of(scenario.rollout.mode)},
                   {"sites", scenario.sites.size()},
                   {"devices", devices_of(scenario)},
                   {"assumptions", scenario.assumptions}};
  out << "{\n\"format\": " << dumped(kResultFormat) << ",\n\"version\": " << kResultVersion
      << ",\n\"engine_version\": " << dumped(result.engine_version)
      << ",\n\"input_hash\": " << dumped(result.input_hash) << ",\n\"seed\": " << result.seed
      << ",\n\"scenario\": " << dumped(about)
      << ",\n\"totals\": " << dumped(record_of(result.totals))
      << ",\n\"direct\": " << (result.direct ? dumped(record_of(*result.direct)) : "null")
      << ",\n\"content_bytes\": " << dumped(record_of(bytes_of(result)))
      << ",\n\"waiting_device_ms\": " << dumped(record_of(waiting_of(result)));
  write_list(out, "waves", result.waves.size(),
             [&](std::size_t i) { return record_of(result, i); });
  write_list(out, "sites", result.sites.size(), [&](std::size_t i) {
    const auto site = static_cast<Index>(i);
    return record_of(scenario.sites[i], result.sites[i],
                     line_of_site(result, site, Direction::down), scenario);
  });
  write_list(out, "lines", result.lines.size(),
             [&](std::size_t i) { return record_of(result.lines[i], scenario); });
  write_list(out, "replicas", result.replicas.size(),
             [&](std::size_t i) { return record_of(result.replicas[i]); });
  out << "\n}\n";
}

Result<Outcome> parse_outcome(std::string_view text) {
  try {
    const Json top = Json::parse(text);
    if (!top.is_object() || top.value("format", "") != kResultFormat)
      return fail(ErrorKind::invalid, "it is no result of lamina-sim: its \"format\" is not \"" +
                                          std::string(kResultFormat) + '"');
    if (const int version = top.value("version", 0); version != kResultVersion)
      return fail(ErrorKind::invalid, "its version is " + std::to_string(version) + ", not " +
                                          std::to_string(kResultVersion) +
                                          ": another lamina-sim wrote it");
    Outcome outcome;
    outcome.scenario = top.at("scenario").at("name").get<std::string>();
    for (const Json& wave : top.at("waves")) outcome.waves.push_back(wave_of(wave));
    for (const Json& site : top.at("sites")) outcome.sites.push_back(site_of(site));
    outcome.wan_down = {count_in(top.at("totals").at("wan_down_wire_bytes"), kCountMax)};
    return outcome;
  } catch (const Json::exception& error) {
    return fail(ErrorKind::invalid, text_of(error));
  }
}

}  // namespace lamina::sim
