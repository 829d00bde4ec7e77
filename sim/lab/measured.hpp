// From what the lab measured to a result, so that the same reports tell both.
//
// What the lab cannot know stays empty: what devices waited for, and what every device for itself
// would have cost. Pure; any thread.
#pragma once

#include <string_view>

#include "sim/report/run_result.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

inline constexpr std::string_view kMeasuredFormat = "lamina-sim-measured";
inline constexpr int kMeasuredVersion = 1;
inline constexpr Bytes kMeasuredMax = 1_MiB;  // More is not read.

// `text`: the lab's answer to the request of `scenario`. `invalid` when it is none, or of other
// sites.
Result<RunResult> measured_result(std::string_view text, const Scenario& scenario);

}  // namespace lamina::sim
