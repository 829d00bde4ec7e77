// When a device is up: windows of the local week, moved a little from day to day, less the days on
// which it stays away, less its restarts.
//
// A day on which it roams it is at another site, at its usual times. Computed for each question
// from the scenario and the run's random numbers: nothing is kept. Pure; any thread.
#pragma once

#include <cstdint>

#include "sim/engine/random.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

class PresenceOf {
 public:
  // At which of so many sites it is asked for. With a single site a device that roams is nowhere.
  struct Where {
    Index sites = 1;
    Index home = 0;
    Index at = 0;
  };
  // `start_ns`: the run's start by its home's clock, in ns since Monday 00:00 of that week.
  PresenceOf(const Presence& presence, const Random& random, std::uint64_t device,
             std::int64_t start_ns, Where where)
      : presence_(presence), random_(random), device_(device), start_ns_(start_ns), where_(where) {}

  struct Now {
    bool up = false;
    Instant until = Instant::max();  // It changes then; not after `horizon`: never.
  };
  Now at(Instant now, Instant horizon) const;
  // The sites where it is a guest until `horizon`; the same one may come more than once.
  template <class Visit>
  void for_each_host(Instant horizon, const Visit& visit) const {
    if (presence_.roaming <= 0 || where_.sites < 2) return;
    for (std::int64_t day = first_day(); day <= last_day(horizon); ++day)
      if (const Index at = site_on(day); at != where_.home && at != kNowhere) visit(at);
  }

 private:
  static constexpr Index kNowhere = UINT32_MAX;
  struct Span {
    std::int64_t from = 0;
    std::int64_t until = 0;
  };
  Index site_on(std::int64_t day) const;
  std::int64_t first_day() const;  // Of those whose windows reach into the run.
  std::int64_t last_day(Instant horizon) const;
  template <class Visit>
  void spans_of(std::int64_t day, Visit&& visit) const;

  const Presence& presence_;
  const Random& random_;
  std::uint64_t device_;
  std::int64_t start_ns_;
  Where where_;
};

// Of an instant of the run by a clock that is `utc_offset` ahead, in ns since Monday 00:00 of the
// week in which the run starts.
std::int64_t local_start_ns(WallTime start, Duration utc_offset);

}  // namespace lamina::sim
