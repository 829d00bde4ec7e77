// What the run's random numbers are for, and how shares become whole devices.
#pragma once

#include <cmath>
#include <cstdint>

#include "sim/engine/random.hpp"

namespace lamina::sim {

enum Purpose : std::uint32_t {  // One stream each; entity is a device or a site.
  kDeviceId = 1,
  kKindOffset,
  kWirelessOffset,
  kFailureOffset,
  kWindowStart,
  kWindowEnd,
  kAway,
  kReboot,
  kUpload,
  kDeath,
  kLineFactor,
  kHost,
};

// Whether element `index` is one of a share of all that are counted from 0: of n elements,
// share * n are, rounded down or up with the probability of the rest by `offset`, uniform in
// [0, 1); they lie evenly.
inline bool is_drawn(double share, std::int64_t index, double offset) {
  const auto upto = [&](std::int64_t n) {
    return std::floor(static_cast<double>(n) * share + offset);
  };
  return upto(index + 1) > upto(index);
}

}  // namespace lamina::sim
