// From a scenario to what the lab is asked to build and to do: its sites with their lines, the size
// of the content, when what happens. docs/simulation.md describes the format.
//
// Pure; any thread.
#pragma once

#include <string>

#include "sim/scenario/findings.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

inline constexpr std::string_view kRequestFormat = "lamina-sim-lab";
inline constexpr int kRequestVersion = 1;

// What one machine bears, in real time.
inline constexpr std::int64_t kLabDevicesMax = 30;
inline constexpr Duration kLabDurationMax = std::chrono::hours{1};
inline constexpr Bytes kLabContentMax = 1_GiB;
// A port that is faster is as fast as the machine.
inline constexpr BitRate kLabPortMax{1'000'000'000};

// The request as JSON, or all that the lab cannot do; `file` is the scenario's name in messages.
tl::expected<std::string, Findings> lab_request(const Scenario& scenario, const std::string& file);

// What each device of the scenario fetches, which is the same for all.
Bytes lab_content(const Scenario& scenario);

}  // namespace lamina::sim
