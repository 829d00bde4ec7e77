// What the commands that run scenarios share: from the command line to a result.
// One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/cli/commands.hpp"
#include "sim/model/run.hpp"
#include "sim/report/figures.hpp"
#include "sim/report/run_result.hpp"
#include "sim/report/tables.hpp"
#include "sim/scenario/load.hpp"

namespace lamina::sim {

// "key=value"; `invalid` when there is no "=" or no key.
Result<Override> parse_set(const std::string& text);
Result<std::vector<Override>> parse_sets(const std::vector<std::string>& texts);

// The scenario with the overrides and the replicas that were asked for.
tl::expected<Scenario, Findings> load_for(const Simulation& simulation,
                                          const std::vector<Override>& overrides);

// Runs it and shows on a terminal how far it is, behind `what`; elsewhere nothing.
RunResult run_shown(const Scenario& scenario, RunOptions options, const std::string& what, Io& io);

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
