// Roaming: which devices are guests of which other sites, on which days of a run.
//
// A device that roams on a day (Presence::roaming) is at one of the other sites then, evenly drawn
// by (device, day). Where it is at what time of the day is PresenceOf's to say; what it carries
// between sites, Batch's. Not copied; any thread.
#pragma once

#include <vector>

#include "sim/model/fleet.hpp"
#include "sim/model/presence.hpp"

namespace lamina::sim {

class Roaming {
 public:
  // A device that is at another site at least once.
  struct Guest {
    std::uint64_t device = 0;  // The run's number.
    Index home = 0;
    DrawnDevice drawn;
  };

  Roaming(const Scenario& scenario, const Fleet& fleet);

  // Whether anybody is anywhere else; no: sites do not meet.
  bool any() const { return any_; }
  // Of the site, ascending by device.
  const std::vector<Guest>& guests(Index site) const { return guests_[site]; }

 private:
  std::vector<std::vector<Guest>> guests_;
  bool any_ = false;
};

}  // namespace lamina::sim
