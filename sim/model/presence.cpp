#include "sim/model/presence.hpp"

#include <algorithm>

#include "shared/policy/week.hpp"
#include "sim/model/draw.hpp"

namespace lamina::sim {
namespace {

constexpr std::int64_t kMinuteNs = 60'000'000'000;
constexpr std::int64_t kDayNs = policy::kMinutesPerDay * kMinuteNs;
constexpr std::int64_t kWeekNs = 7 * kDayNs;
constexpr std::int64_t kEpochNs = 3 * kDayNs;  // 1970-01-01 was a Thursday.
constexpr std::int64_t kDaysBefore = 16;  // Days before the run's week have numbers above 0 too.

std::int64_t floor_div(std::int64_t value, std::int64_t unit) {
  return value / unit - (value % unit < 0 ? 1 : 0);
}

}  // namespace

std::int64_t local_start_ns(WallTime start, Duration utc_offset) {
  const std::int64_t local = start.ns + utc_offset.count() + kEpochNs;
  return local - floor_div(local, kWeekNs) * kWeekNs;
}

Index PresenceOf::site_on(std::int64_t day) const {
  const double away = presence_.absent + presence_.roaming;
  if (away <= 0) return where_.home;
  const auto counter = static_cast<std::uint64_t>(day + kDaysBefore);
  const double drawn = random_.uniform(device_, kAway, counter);
  if (drawn >= away) return where_.home;
  if (drawn < presence_.absent || where_.sites < 2) return kNowhere;
  const Index others = where_.sites - 1;
  const auto other = static_cast<Index>(random_.uniform(device_, kHost, counter) * others);
  return other < where_.home ? other : other + 1;
}

std::int64_t PresenceOf::first_day() const { return floor_div(start_ns_, kDayNs) - 2; }

std::int64_t PresenceOf::last_day(Instant horizon) const {
  return floor_div(start_ns_ + horizon.time_since_epoch().count(), kDayNs) + 1;
}

// The windows that start on a day, in local time.
template <class Visit>
void PresenceOf::spans_of(std::int64_t day, Visit&& visit) const {
  if (site_on(day) != where_.at) return;
  if (presence_.windows.empty()) {
    visit(Span{day * kDayNs, (day + 1) * kDayNs});
    return;
  }
  const auto weekday = static_cast<unsigned>(day - floor_div(day, 7) * 7);
  const double spread = static_cast<double>(presence_.spread.count());
  for (std::size_t i = 0; i < presence_.windows.size(); ++i) {
    const Presence::Window& window = presence_.windows[i];
    if ((window.days >> weekday & 1U) == 0) continue;
    const std::uint64_t counter = static_cast<std::uint64_t>(day + kDaysBefore) * 64 + i;
    const auto moved = [&](Purpose edge) {
      if (spread <= 0) return std::int64_t{0};
      return static_cast<std::int64_t>(spread * (2 * random_.uniform(device_, edge, counter) - 1));
    };
    const std::int64_t end_day = window.end > window.start ? day : day + 1;
    const Span span{day * kDayNs + window.start * kMinuteNs + moved(kWindowStart),
                    end_day * kDayNs + window.end * kMinuteNs + moved(kWindowEnd)};
    if (span.from < span.until) visit(span);
  }
}

PresenceOf::Now PresenceOf::at(Instant now, Instant horizon) const {
  const std::int64_t t = start_ns_ + now.time_since_epoch().count();
  const std::int64_t last = start_ns_ + horizon.time_since_epoch().count();
  Now found{true, Instant::max()};
  std::int64_t until = INT64_MAX;
  const bool always = presence_.windows.empty() && presence_.absent + presence_.roaming <= 0 &&
                      where_.at == where_.home;
  if (!always) {
    // A window that covers `t` started on one of the two days before, or today, or up to four hours
    // early tomorrow.
    const std::int64_t today = floor_div(t, kDayNs);
    std::int64_t end = t;  // As far as it is up without a break.
    std::int64_t next = INT64_MAX;
    for (std::int64_t day = today - 2; day <= today + 1; ++day)
      spans_of(day, [&](const Span& span) {
        if (span.from <= t && span.until > end) end = span.until;
        if (span.from > t) next = std::min(next, span.from);
      });
    found.up = end > t;
    if (found.up) {
      // Windows that follow without a break.
      for (bool longer = true; longer && end <= last;) {
        longer = false;
        const std::int64_t there = floor_div(end, kDayNs);
        for (std::int64_t day = there - 2; day <= there + 1; ++day)
          spans_of(day, [&](const Span& span) {
            if (span.from > end || span.until <= end) return;
            end = span.until;
            longer = true;
          });
      }
      until = end;
    } else {
      // Two days beyond the first that has one: spreads may bring a later day's window before it.
      for (std::int64_t day = today + 2, stop = INT64_MAX; day * kDayNs <= last + kDayNs; ++day) {
        if (next < INT64_MAX && stop == INT64_MAX) stop = floor_div(next, kDayNs) + 1;
        if (day > stop) break;
        spans_of(day, [&](const Span& span) { next = std::min(next, span.from); });
      }
      until = next;
    }
  }
  if (presence_.reboot_every.count() > 0) {
    const std::int64_t every = presence_.reboot_every.count();
    const std::int64_t takes = presence_.reboot_takes.count();
    // By the run's own time, from 0 on.
    const auto reboot = [&](std::int64_t period) {
      const double at = random_.uniform(device_, kReboot, static_cast<std::uint64_t>(period));
      return start_ns_ + period * every +
             static_cast<std::int64_t>(at * static_cast<double>(every - takes));
    };
    const std::int64_t period = (t - start_ns_) / every;
    const std::int64_t down = reboot(period);
    if (down <= t && t < down + takes) {
      // Whether it is there afterwards is asked again then.
      found.up = false;
      until = down + takes;
    } else if (found.up) {
      until = std::min(until, down > t ? down : reboot(period + 1));
    }
  }
  if (until <= last) found.until = Instant(Duration(until - start_ns_));
  return found;
}

}  // namespace lamina::sim
