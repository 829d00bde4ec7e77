// When a device is up: windows of the local week, moved a little from day to day, less the days on
// which it stays away, less its restarts.
//
// Computed for each question from the scenario and the run's random numbers: nothing is kept. Pure;
// any thread.
#pragma once

#include <cstdint>

#include "sim/engine/random.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

class PresenceOf {
 public:
  // `start_ns`: the run's start by the site's clock, in ns since Monday 00:00 of that week.
  PresenceOf(const Presence& presence, const Random& random, std::uint64_t device,
             std::int64_t start_ns)
      : presence_(presence), random_(random), device_(device), start_ns_(start_ns) {}

  struct Now {
    bool up = false;
    Instant until = Instant::max();  // It changes then; not after `horizon`: never.
  };
  Now at(Instant now, Instant horizon) const;

 private:
  struct Span {
    std::int64_t from = 0;
    std::int64_t until = 0;
  };
  bool comes_on(std::int64_t day) const;
  template <class Visit>
  void spans_of(std::int64_t day, Visit&& visit) const;

  const Presence& presence_;
  const Random& random_;
  std::uint64_t device_;
  std::int64_t start_ns_;
};

// Of an instant of the run by a clock that is `utc_offset` ahead, in ns since Monday 00:00 of the
// week in which the run starts.
std::int64_t local_start_ns(WallTime start, Duration utc_offset);

}  // namespace lamina::sim
