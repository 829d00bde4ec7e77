// What a rollout came to, as an origin measured it, in the terms of a plan. Pure; any thread.
#pragma once

#include <string_view>

#include "sim/report/result_json.hpp"

namespace lamina::sim {

// Of the answer to GET /v1/rollouts/NAME, which `lamina --json rollout show NAME` prints. Times are
// the origin's: of a wave since it began, of a site since the rollout was started. A device counts
// as done when the origin learned of it, and its bytes as it reported them; those that left the
// rollout do not count. `invalid`: it is none, or the rollout was not started.
Result<Outcome> parse_measured(std::string_view text);

}  // namespace lamina::sim
