// LanStage gives a site's devices what the site has already: over the serving ports, the radio, and
// never faster than the part that is being fetched over the line comes in.
//
// The site's fetch is a frontier F(t): the bytes of the current part that are at the site. A device
// is one of three:
//   fixed     wants bytes that are all there;
//   behind    wants the current part too, and has a gap to the frontier;
//   caught    has all there is: its rate is the frontier's.
// Devices of one kind and access share their rate, so one virtual clock V per kind moves them all.
// A gap closes when V - F has grown by it: "behind" is ordered by that difference, which makes the
// frontier exact, whatever its rate does. Where the LAN is slower than the frontier, the caught
// fall behind together.
//
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/rates.hpp"

namespace lamina::sim {

class LanStage {
 public:
  enum Access : std::uint8_t { kWired, kWireless };

  // Devices are named 0 to `devices` - 1. `port`: of each wired device; `wireless`: what all
  // wireless ones share.
  LanStage(std::uint32_t devices, Rate port, Rate wireless, Instant now = Instant{});

  // Brings everything to `now`. `frontier`: bytes of the current part that are at the site; it
  // never falls, except by restart_frontier().
  void touch(Instant now, double frontier);
  // After a touch(), when there are neither devices behind nor caught.
  void restart_frontier(double frontier);

  // Changes, after a touch() of the same moment; evaluate() must follow.
  void set_serving(Rate rate) { serving_ = rate; }  // What all that serve can send together.
  void set_wireless(Rate rate) { wireless_ = rate; }
  void set_frontier_rate(Rate rate) { frontier_rate_ = rate; }
  void add_fixed(std::uint32_t device, Access access, double bytes);
  void add_behind(std::uint32_t device, Access access, double gap);  // No gap: caught.
  // What it still wants of what is there: bytes, or the gap. One that runs.
  double remove(std::uint32_t device);
  // Takes out the fixed ones that have all, and lets those catch up that did.
  void finish(std::vector<std::uint32_t>& done);
  void evaluate();

  Instant next() const { return next_; }  // kNever: nothing will end by itself.
  bool runs(std::uint32_t device) const { return devices_[device].kind != kNone; }
  // Devices that the LAN keeps from what is there.
  std::uint32_t waiting() const;
  bool has_followers() const;  // Some are behind or caught.
  bool has_behind() const;
  double carried() const { return carried_; }  // Bytes that all got, as of the last touch().

 private:
  enum Kind : std::uint8_t { kFixed, kBehind, kCaught, kNone };
  static constexpr int kAccesses = 2;
  struct Entry {
    double end = 0;  // On the kind's clock; of those behind, on V - F.
    std::uint32_t device = 0;
  };
  struct Device {
    double end = 0;
    std::uint32_t place = 0;  // Caught: where in `caught`.
    Kind kind = kNone;
    Access access = kWired;
  };
  struct Side {  // Of one access.
    double fixed_clock = 0;
    double behind_clock = 0;           // V - F.
    std::vector<Entry> fixed, behind;  // Heaps; entries of devices that left are stale.
    std::vector<std::uint32_t> caught;
    std::uint32_t fixed_count = 0, behind_count = 0;
    Rate rate = 0;  // Of the fixed and of those behind; of the caught, if below the frontier's.
  };

  void let_catch_up(Side& side);
  void let_fall_behind(Side& side);
  void share();
  void drop_stale(std::vector<Entry>& heap, Kind kind);

  std::vector<Device> devices_;
  std::array<Side, kAccesses> sides_;
  Rate port_;
  Rate wireless_;
  Rate serving_ = kInfinite;
  Rate frontier_rate_ = 0;
  double frontier_ = 0;
  double carried_ = 0;
  Instant now_;
  Instant next_ = kNever;
};

}  // namespace lamina::sim
