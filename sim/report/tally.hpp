// Tally: from the moments at which devices were done, and what lines carried, to a result's figures
// of waves and totals. The same for what the model computes and for what was measured.
//
// Pure; any thread.
#pragma once

#include <span>
#include <vector>

#include "sim/report/run_result.hpp"

namespace lamina::sim {

// Fills in all of `wave` but its name and devices. `done` and `failed` ascend; `began`: none if it
// did not within the run.
void tally(WaveResult& wave, const std::vector<Instant>& done, const std::vector<Instant>& failed,
           std::optional<Instant> began);

// `origin`: the origin's line down; `sites`: both lines of all sites; `waves`: as tally() left
// them.
Totals totals_of(Mode mode, std::span<const WaveResult> waves, const LineResult& origin,
                 std::span<const LineResult> sites, Duration run);

// What is compared over replicas of a run that was tallied.
Replica replica_of(std::uint64_t seed, std::span<const WaveResult> waves, const Totals& totals);

}  // namespace lamina::sim
