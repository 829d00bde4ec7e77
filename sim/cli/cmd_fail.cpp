#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "sim/cli/simulate.hpp"

namespace lamina::sim {
namespace {

using json = nlohmann::ordered_json;

json maybe(const std::optional<Duration>& time) {
  return time ? json(*time / std::chrono::milliseconds(1)) : json(nullptr);
}

json record_of(const RunResult& result) {
  json waves = json::array();
  for (std::size_t i = 0; i < result.waves.size(); ++i) {
    const auto p95 = spread_of_wave(result, i).p95;
    waves.push_back({{"name", result.waves[i].name},
                     {"devices", result.waves[i].devices},
                     {"done", result.waves[i].done},
                     {"p95_lowest_ms", maybe(p95.lowest)},
                     {"p95_median_ms", maybe(p95.median)},
                     {"p95_highest_ms", maybe(p95.highest)}});
  }
  return {{"waves", std::move(waves)}, {"wan_down_wire_bytes", result.totals.wan_down.count}};
}

void print(const RunResult& good, const RunResult& bad, std::ostream& out) {
  cli::Rows rows{{"", "WITHOUT DEATHS", "WITH THEM"}};
  for (std::size_t i = 0; i < good.waves.size(); ++i) {
    const std::string name = printable(good.waves[i].name, 80);
    const auto done = [&](const RunResult& result) {
      return std::to_string(result.waves[i].done) + " of " +
             std::to_string(result.waves[i].devices);
    };
    rows.push_back({name + ": done", done(good), done(bad)});
    rows.push_back({name + ": 95 % after", spread_text(spread_of_wave(good, i).p95),
                    spread_text(spread_of_wave(bad, i).p95)});
  }
  rows.push_back(
      {"over the sites' lines", to_text(good.totals.wan_down), to_text(bad.totals.wan_down)});
  cli::write_table(out, rows);
}

// As it stands in TOML: the same checks as for a file.
std::string deaths_text(const FailOptions& options) {
  return "[{ share = \"" + options.reflectors + "\", at = \"" + options.at + "\" }]";
}

}  // namespace

cli::ExitCode run_fail(const FailOptions& options, Io& io) {
  auto overrides = parse_sets(options.simulation.set);
  if (!overrides) return report(overrides.error(), io);
  overrides->push_back({"reflector_deaths", "[]"});
  const auto good = load_for(options.simulation, *overrides);
  if (!good) return report(good.error(), io);
  overrides->back().value = deaths_text(options);
  const auto bad = load_for(options.simulation, *overrides);
  if (!bad) return report(bad.error(), io);

  const sim::RunOptions how{.threads = options.simulation.threads, .with_direct = false};
  const RunResult without = run_shown(*good, how, "without deaths: ", io);
  const RunResult with = run_shown(*bad, how, "with deaths: ", io);
  if (options.as_json)
    io.out << json{{"format", "lamina-sim-fail"},      {"version", 1},
                   {"reflectors", options.reflectors}, {"at", options.at},
                   {"without", record_of(without)},    {"with", record_of(with)}}
                  .dump(-1, ' ', false, json::error_handler_t::replace)
           << '\n';
  else
    print(without, with, io.out);
  return cli::ok;
}

}  // namespace lamina::sim
