// The water level of a line: the rate at which flows that could take more are cut off, so that all
// together fill the line.
//
// Pure function; any thread.
#pragma once

#include <cstdint>
#include <span>

#include "sim/engine/rates.hpp"

namespace lamina::sim {

struct Thirst {  // So many flows take up to this much each.
  double limit;
  std::uint32_t count;
};

// The x with sum(count * min(limit, x)) = line; infinite where they do not fill the line. `parts`
// ascend by limit.
inline double water_level(std::span<const Thirst> parts, double line) {
  double flows = 0;
  for (const Thirst& part : parts) flows += part.count;
  for (const Thirst& part : parts) {
    if (part.count == 0) continue;
    if (line < part.limit * flows) return line / flows;
    if (part.limit < kInfinite) line -= part.limit * part.count;
    flows -= part.count;
  }
  return kInfinite;
}

}  // namespace lamina::sim
