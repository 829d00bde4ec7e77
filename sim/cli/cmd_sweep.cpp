#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "sim/cli/simulate.hpp"
#include "sim/model/run.hpp"

namespace lamina::sim {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kVariantsMax = 1'000;

struct Axis {
  std::string path;
  std::vector<std::string> values;  // At least one.
};

Result<std::vector<Axis>> parse_axes(const std::vector<std::string>& texts) {
  std::vector<Axis> axes;
  std::size_t variants = 1;
  for (const std::string& text : texts) {
    const auto set = parse_set(text);
    if (!set) return fail(set.error());
    Axis axis{set->path, {}};
    for (std::string_view rest = set->value;;) {
      const auto comma = rest.find(',');
      axis.values.emplace_back(rest.substr(0, comma));
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
    variants *= axis.values.size();
    if (variants > kVariantsMax)
      return fail(ErrorKind::invalid,
                  "more than " + std::to_string(kVariantsMax) + " combinations: give fewer values");
    axes.push_back(std::move(axis));
  }
  return axes;
}

// The `number`-th combination; the last axis changes fastest.
std::vector<Override> combination(const std::vector<Axis>& axes, std::size_t number) {
  std::vector<Override> set(axes.size());
  for (std::size_t i = axes.size(); i-- > 0;) {
    set[i] = {axes[i].path, axes[i].values[number % axes[i].values.size()]};
    number /= axes[i].values.size();
  }
  return set;
}

std::size_t combinations(const std::vector<Axis>& axes) {
  std::size_t all = 1;
  for (const Axis& axis : axes) all *= axis.values.size();
  return all;
}

json maybe(const std::optional<Duration>& time) {
  return time ? json(*time / std::chrono::milliseconds(1)) : json(nullptr);
}

json record_of(const std::vector<Override>& set, const RunResult& result) {
  json record{{"set", json::object()}, {"input_hash", result.input_hash}};
  for (const Override& one : set) record["set"][one.path] = one.value;
  for (std::size_t i = 0; i < result.waves.size(); ++i) {
    const WaveSpread spread = spread_of_wave(result, i);
    record["waves"].push_back({{"name", result.waves[i].name},
                               {"devices", result.waves[i].devices},
                               {"done", result.waves[i].done},
                               {"p95_lowest_ms", maybe(spread.p95.lowest)},
                               {"p95_median_ms", maybe(spread.p95.median)},
                               {"p95_highest_ms", maybe(spread.p95.highest)}});
  }
  record["origin_wire_bytes"] = result.totals.origin.count;
  record["origin_peak_bits_per_s"] = result.totals.peak.bits_per_second;
  return record;
}

std::vector<std::string> heading(const std::vector<Axis>& axes, const RunResult& result) {
  std::vector<std::string> row;
  for (const Axis& axis : axes) row.push_back(printable(axis.path, 60));
  for (const WaveResult& wave : result.waves)
    row.push_back(printable(wave.name, 60) + ": 95 % AFTER");
  row.insert(row.end(), {"DONE", "FROM THE ORIGIN", "BUSIEST HOUR"});
  return row;
}

std::vector<std::string> row_of(const std::vector<Override>& set, const RunResult& result) {
  std::vector<std::string> row;
  for (const Override& one : set) row.push_back(printable(one.value, 60));
  for (std::size_t i = 0; i < result.waves.size(); ++i)
    row.push_back(spread_text(spread_of_wave(result, i).p95));
  row.push_back(std::to_string(result.totals.done) + " of " +
                std::to_string(result.totals.devices));
  row.push_back(to_text(result.totals.origin));
  row.push_back(to_text(result.totals.peak));
  return row;
}

}  // namespace

cli::ExitCode run_sweep(const SweepOptions& options, Io& io) {
  const auto axes = parse_axes(options.simulation.set);
  if (!axes) return report(axes.error(), io);
  // All are read before the first is run: a mistake must not show up after an hour.
  std::vector<Scenario> scenarios;
  const std::size_t count = combinations(*axes);
  for (std::size_t i = 0; i < count; ++i) {
    auto scenario = load_for(options.simulation, combination(*axes, i));
    if (!scenario) return report(scenario.error(), io);
    scenarios.push_back(std::move(*scenario));
  }
  json records = json::array();
  cli::Rows rows;
  for (std::size_t i = 0; i < count; ++i) {
    const RunResult result =
        run(scenarios[i], {.threads = options.simulation.threads, .with_direct = false});
    if (rows.empty()) rows.push_back(heading(*axes, result));
    rows.push_back(row_of(combination(*axes, i), result));
    records.push_back(record_of(combination(*axes, i), result));
  }
  if (options.as_json)
    io.out << json{{"format", "lamina-sim-sweep"}, {"version", 1}, {"variants", records}}.dump(
                  -1, ' ', false, json::error_handler_t::replace)
           << '\n';
  else
    cli::write_table(io.out, rows);
  return cli::ok;
}

}  // namespace lamina::sim
