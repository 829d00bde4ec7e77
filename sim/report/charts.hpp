// The drawings of a report, as SVG that stands in HTML. Everything in them is told in a table too,
// or in result.json. Pure; any thread.
#pragma once

#include <array>
#include <string>

#include "sim/report/run_result.hpp"
#include "sim/report/sweep.hpp"

namespace lamina::sim {

// Done devices of each wave in percent, over the time of the run.
std::string completion_chart(const Scenario& scenario, const RunResult& result);

// How much of their lines' downward rate the sites used, by hour: at most `most` sites, those with
// the fullest hour first.
std::string heat_map(const Scenario& scenario, const RunResult& result, std::size_t most);

// When 95 % of each wave are done, by variant: medians, and bars over the replicas.
std::string sweep_chart(const Sweep& sweep);

// One bar of shares, each in its limit's colour; they add up to 1 or are all 0.
std::string limit_bar(const std::array<double, kLimits>& shares);
// A square in the colour of that limit.
std::string limit_key(Limit limit);

// One bar of `share` (0 to 1) of the full length.
std::string share_bar(double share);

}  // namespace lamina::sim
