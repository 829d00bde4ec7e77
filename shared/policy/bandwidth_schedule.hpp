// From the bandwidth rules and the wall clock to the limits that hold now, and until when.
//
// Rules speak local time. How far that is ahead of UTC is asked for each moment, so that a change
// to or from summer time counts when it happens: the hour that is left out ends rules early, the
// one that comes twice makes them last longer.
//
// Pure functions; any thread.
#pragma once

#include <functional>

#include "shared/policy/bandwidth_rules.hpp"

namespace lamina::policy {

// How far local time is ahead of UTC at a moment: whole seconds, and the same each time it is
// asked.
using UtcOffset = std::function<Duration(WallTime)>;

struct BandwidthForecast {
  BandwidthLimits limits;
  std::optional<WallTime> until;  // Other limits hold from then on; none: these hold for good.
};

// For the device of `site` at `address`.
BandwidthForecast forecast(const BandwidthRules& rules, std::string_view site,
                           std::string_view address, WallTime now, const UtcOffset& offset);

}  // namespace lamina::policy
