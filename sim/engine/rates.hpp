// Rates as the engine counts with them, and the steps between them and integer time.
//
// Time is whole nanoseconds; rates and bytes on their way are doubles. An event happens at the
// first nanosecond at or after its exact moment. Plain functions; any thread.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "shared/base/units.hpp"

namespace lamina::sim {

using Rate = double;  // Bytes a second.
inline constexpr double kInfinite = std::numeric_limits<double>::infinity();
inline constexpr Instant kNever = Instant::max();

inline double in_seconds(Duration duration) { return static_cast<double>(duration.count()) * 1e-9; }

// When `bytes` more have gone at `rate`, from `now` on. kNever if that is not within 146 years.
inline Instant time_after(Instant now, double bytes, Rate rate) {
  if (!(rate > 0)) return kNever;
  const double ns = std::ceil(std::max(0.0, bytes) / rate * 1e9);
  if (ns >= 0x1p62) return kNever;
  return now + Duration(static_cast<std::int64_t>(ns));
}

// Below this many bytes a flow is done: what goes in one nanosecond, and what a double of the
// clock's size cannot resolve.
inline double done_within(double clock, Rate rate) { return rate * 1e-9 + clock * 1e-15; }

// Sums of rates are kept as integers, 1/65536 byte a second each, so that they neither drift nor
// depend on the order of additions. Good for 2^46 bytes a second in sum.
using FixedRate = std::int64_t;
inline FixedRate to_fixed(Rate rate) { return std::llround(rate * 65536.0); }
inline Rate from_fixed(FixedRate rate) { return static_cast<double>(rate) / 65536.0; }

}  // namespace lamina::sim
