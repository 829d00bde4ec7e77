// When to try again after something failed: exponential back-off with jitter.
//
// Pure functions; the caller brings the random number, so that a simulated run can be repeated.
#pragma once

#include <cstdint>

#include "shared/base/units.hpp"

namespace lamina::policy {

struct Backoff {
  Duration first = std::chrono::seconds{1};
  Duration longest = std::chrono::seconds{60};
};

// How long to wait after the `failures`-th failure in a row (1, 2, ...; 0 or less: do not wait).
// The step doubles from `first` up to `longest`; the wait lies between half the step and the step,
// placed by `random` (uniform in 64 bits), so that devices which failed together come back apart.
Duration retry_after(const Backoff& backoff, int failures, std::uint64_t random);

}  // namespace lamina::policy
