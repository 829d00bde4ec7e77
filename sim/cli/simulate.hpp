// What the commands that run scenarios share: from the command line to a result, and rows about it.
// One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/cli/table.hpp"
#include "sim/cli/commands.hpp"
#include "sim/report/figures.hpp"
#include "sim/report/run_result.hpp"
#include "sim/scenario/load.hpp"

namespace lamina::sim {

// "key=value"; `invalid` when there is no "=" or no key.
Result<Override> parse_set(const std::string& text);
Result<std::vector<Override>> parse_sets(const std::vector<std::string>& texts);

// The scenario with the overrides and the replicas that were asked for.
tl::expected<Scenario, Findings> load_for(const Simulation& simulation,
                                          const std::vector<Override>& overrides);

// A line for each wave, with a heading: what the scenario's own seed gave, and behind percentiles
// their ranges over the replicas.
cli::Rows wave_rows(const RunResult& result);

// A value and the range over the replicas: "3 h 10 min (2 h 50 min to 3 h 40 min)".
std::string own_text(std::optional<Duration> own, const Spread<Duration>& spread);
// With their median.
std::string spread_text(const Spread<Duration>& spread);

// One figure of a wave that has to be small enough.
struct Target {
  enum class Figure { p50, p95, p99 };
  std::size_t wave = 0;  // Index.
  Figure figure = Figure::p95;
  Duration below{};  // Since the wave began.
};
// "wave3.p95<8h" (the third wave), "everyone.p95<8h" (by its name). `invalid` says what is wrong.
Result<Target> parse_target(const std::string& text, const Scenario& scenario);
// The figure over the replicas.
Spread<Duration> figure_of(const RunResult& result, const Target& target);
// In every replica.
bool holds(const RunResult& result, const Target& target);

}  // namespace lamina::sim
