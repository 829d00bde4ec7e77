// What the halves of Rollouts share.
#pragma once

#include <string_view>
#include <utility>

#include "shared/base/result.hpp"

namespace lamina::origin {

// The outcome of a device that is a member no more; the others are policy::Rollout::Outcome.
inline constexpr std::string_view kLeft = "left";

// Keeps the first failure of several steps, all of which are taken.
inline void note(Status& status, Status step) {
  if (status && !step) status = std::move(step);
}

}  // namespace lamina::origin
