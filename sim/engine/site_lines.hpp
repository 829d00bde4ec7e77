// SiteLines shares one direction of a site's line, and what lies behind it, among the flows there:
// max-min fair, exact, and at a cost that grows with the kinds of flows and not with their number.
//
//   levels above ── site line ─┬─ segment (LAN, access point) ── bundle: flows of one cap
//                              └─ segment                     ── bundle
//
// The idea (sim/MODEL.md, "Sharing"): on a tree a flow gets the least of its own cap and the water
// levels of the lines on its way. So all flows of one bundle have the same rate, and one virtual
// clock per bundle, the bytes that each of its flows got so far, is all that moves: a flow is an
// entry "clock + bytes left" in the bundle's heap, a completion is a pop, and a change of rates
// touches bundles only.
//
// What the lines above grant is a Feed: a level, and a clock that is the integral of that level. A
// bundle that gets just the level measures its progress by the feed's clock, so that a change of
// the level needs no visit here. For the lines above the site is a Demand: what it takes as the
// level moves.
//
// Two priorities: background gets what foreground leaves on each line.
//
// Time is told with every touch(); changes are made after a touch() of the same moment, and before
// evaluate(), which must follow them. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/rates.hpp"

namespace lamina::sim {

enum Priority : std::uint8_t { kForeground, kBackground };
inline constexpr int kPriorities = 2;

// What holds a flow back at a moment.
enum class HeldBy : std::uint8_t { cap, segment, site, above };

// What the lines above give each flow of one priority.
struct Feed {
  double level = kInfinite;  // Bytes a second.
  double clock = 0;          // The integral of the level where it was finite.
};
using Feeds = std::array<Feed, kPriorities>;

// What a subtree takes from above, as a function of the level: fixed + following * level, while
// the level is above `down` and not above `up`.
struct Demand {
  std::int64_t following = 0;
  FixedRate fixed = 0;
  double up = kInfinite;
  double down = -1;
  bool operator==(const Demand&) const = default;
};

class SiteLines {
 public:
  struct Bundle {
    std::uint16_t segment = 0;
    Priority priority = kForeground;
    Rate cap = kInfinite;  // Of each flow.
  };
  static constexpr std::size_t kBundlesMax = 64;

  // `segments`: the rate of each, may be infinite; at least one. Flows are named 0 to `flows` - 1.
  // Everything starts idle at `now`, with clocks of 0 above.
  SiteLines(Rate line, std::vector<Rate> segments, const std::vector<Bundle>& bundles,
            std::uint32_t flows, Instant now = Instant{});

  // Brings all clocks to `now`, not earlier than before, at the rates that held since.
  void touch(Instant now, const Feeds& feeds);

  // Changes; see above.
  void add(std::uint32_t flow, std::uint32_t bundle, double bytes);  // Not one that runs.
  double remove(std::uint32_t flow);  // The bytes that it had left; one that runs.
  void set_line(Rate rate);
  void set_segment(std::uint32_t segment, Rate rate);
  void set_cap(std::uint32_t bundle, Rate cap);
  // Ask to be visited whenever a level that flows here follow has moved by more than 1 %.
  void watch(bool watches) { watches_ = watches; }
  // Takes out every flow that is done, in the order of bundles and of their ends.
  void finish(const Feeds& feeds, std::vector<std::uint32_t>& done);

  // Of the last touch().
  Instant now() const { return now_; }

  // Shares the lines anew.
  void evaluate(const Feeds& feeds);

  // As of the last evaluate():
  const Demand& demand(Priority priority) const { return demand_[priority]; }
  // When the first flow ends that does not follow the level above; kNever: none does.
  Instant next_by_time() const { return next_by_time_; }
  // At which clock of the feed the first flow ends that follows; infinite: none does.
  double next_by_clock(Priority priority) const { return next_by_clock_[priority]; }
  HeldBy held_by(std::uint32_t bundle) const { return bundles_[bundle].held_by; }
  Rate rate(std::uint32_t bundle, const Feeds& feeds) const;  // Of each of its flows.
  std::uint32_t count(std::uint32_t bundle) const { return bundles_[bundle].count; }
  // Whether the line itself holds some flow back, and for how long it did, as
  // of the last touch().
  bool is_full() const { return is_full_; }
  double full_seconds() const { return full_seconds_; }

  bool runs(std::uint32_t flow) const { return flows_[flow].bundle != kNone; }
  // Bytes that a running flow has left, as of the last touch(); may be below 0 by a rounding.
  double left(std::uint32_t flow) const;
  // Bytes over the line since the beginning, as of the last touch().
  double carried(Priority priority) const { return carried_[priority]; }
  // Seconds that flows of this bundle spent under each HeldBy, summed over the flows.
  double seconds(std::uint32_t bundle, HeldBy held_by) const {
    return bundles_[bundle].seconds[static_cast<std::size_t>(held_by)];
  }

 private:
  static constexpr std::uint16_t kNone = 0xffff;
  struct Entry {  // Stale when the flow does not end there any more.
    double end = 0;
    std::uint32_t flow = 0;
  };
  struct Flow {
    double end = 0;  // On its bundle's clock.
    std::uint16_t bundle = kNone;
  };
  struct State : Bundle {
    double clock = 0;  // Bytes that each flow got since the bundle was last empty.
    Rate rate = 0;     // Unless it follows.
    std::uint32_t count = 0;
    HeldBy held_by = HeldBy::cap;
    std::array<double, 4> seconds{};
    std::vector<Entry> heap;
  };

  void sort_by_cap();
  void share(Priority priority, double level, double& line_left);
  void schedule(const Feeds& feeds);
  void drop_stale(State& bundle);
  bool is_stale(const State& bundle, const Entry& entry) const;

  Rate line_;
  std::vector<Rate> segments_;
  std::vector<double> segments_left_;  // While sharing.
  std::vector<State> bundles_;
  std::vector<std::uint8_t> by_cap_;  // Bundles, ascending.
  std::vector<Flow> flows_;
  Instant now_;
  std::array<double, kPriorities> clock_{};  // Of the feeds, at now_.
  std::array<double, kPriorities> carried_{};
  std::array<Demand, kPriorities> demand_{};
  std::array<double, kPriorities> next_by_clock_;
  Instant next_by_time_ = kNever;
  bool is_full_ = false;
  bool watches_ = false;
  double full_seconds_ = 0;
};

}  // namespace lamina::sim
