// The real clocks. Everything that decides is told the time instead (shared/base/units.hpp).
#pragma once

#include "shared/base/units.hpp"

namespace lamina::os {

// Seams for tests: programs take a Clock&.
class Clock {
 public:
  virtual ~Clock() = default;
  // CLOCK_BOOTTIME: goes on while the machine sleeps, never steps. Leases are measured with it.
  virtual Instant now() const = 0;
  // Calendar time, for records, logs and certificates only.
  virtual WallTime wall() const = 0;
};

// Any thread.
const Clock& system_clock();

}  // namespace lamina::os
