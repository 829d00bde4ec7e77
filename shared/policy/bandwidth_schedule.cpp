#include "shared/policy/bandwidth_schedule.hpp"

#include <algorithm>

namespace lamina::policy {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kEpochMinute = 3 * kMinutesPerDay;  // 1970-01-01 was a Thursday.
// Clocks change twice a year, not nine times within a few weeks. If they did, the forecast would
// end there and be made again.
constexpr int kStepsMax = 8;

std::int64_t floor_of(std::int64_t value, std::int64_t unit) {
  const std::int64_t rest = value % unit;
  return value - (rest < 0 ? rest + unit : rest);
}

int minute_of_week(std::int64_t local_ns) {
  const std::int64_t minute = floor_of(local_ns, kMinute) / kMinute + kEpochMinute;
  return static_cast<int>(minute - floor_of(minute, kMinutesPerWeek));
}

// The first second after `from`, up to `until`, with another offset than `from` has.
std::optional<WallTime> next_step(WallTime from, WallTime until, const UtcOffset& offset) {
  const Duration known = offset(from);
  WallTime low{floor_of(from.ns, kSecond)};
  while (low < until) {
    WallTime high{std::min(low.ns + kHour, until.ns)};
    if (offset(high) == known) {
      low = high;
      continue;
    }
    while (high.ns - low.ns > kSecond) {
      const WallTime middle{floor_of(low.ns + (high.ns - low.ns) / 2, kSecond)};
      (offset(middle) == known ? low : high) = middle;
    }
    return high;
  }
  return std::nullopt;
}

}  // namespace

BandwidthForecast forecast(const BandwidthRules& rules, std::string_view site,
                           std::string_view address, WallTime now, const UtcOffset& offset) {
  const auto minute_at = [&](WallTime time) {
    return minute_of_week(time.ns + offset(time).count());
  };
  BandwidthForecast found{limits_at(rules, site, address, minute_at(now)), std::nullopt};
  WallTime from = now;
  for (int steps = 0; steps < kStepsMax; ++steps) {
    const auto minutes = next_change(rules, site, address, minute_at(from));
    if (!minutes) return found;  // The same in every minute of the week.
    const std::int64_t ahead = offset(from).count();
    const WallTime edge{floor_of(from.ns + ahead, kMinute) - ahead + *minutes * kMinute};
    const auto step = next_step(from, edge, offset);
    from = step.value_or(edge);
    found.until = from;
    if (!step || limits_at(rules, site, address, minute_at(from)) != found.limits) return found;
  }
  return found;
}

}  // namespace lamina::policy
