// A result in columns, for terminals. Pure; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "shared/cli/table.hpp"
#include "sim/report/figures.hpp"
#include "sim/report/run_result.hpp"

namespace lamina::sim {

// A line for each wave, with a heading: what the scenario's own seed gave, and behind percentiles
// their ranges over the replicas.
cli::Rows wave_rows(const RunResult& result);

// The sites whose lines carry most, at most so many, with a heading.
cli::Rows site_rows(const Scenario& scenario, const RunResult& result, std::size_t most);

// A value and the range over the replicas: "3 h 10 min (2 h 50 min to 3 h 40 min)".
std::string own_text(std::optional<Duration> own, const Spread<Duration>& spread);
// With their median.
std::string spread_text(const Spread<Duration>& spread);

}  // namespace lamina::sim
