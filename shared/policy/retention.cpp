#include "shared/policy/retention.hpp"

#include <algorithm>
#include <chrono>
#include <set>

namespace lamina::policy {
namespace {

// The period of `level` that has this time, by a number of its own. Times before 1970 have one too.
std::int64_t period_of(RetentionLevel level, WallTime time) {
  using namespace std::chrono;
  const sys_time<nanoseconds> at{nanoseconds{time.ns}};
  const sys_days day = floor<days>(at);
  switch (level) {
    case RetentionLevel::newest: return time.ns;
    case RetentionLevel::hourly: return floor<hours>(at).time_since_epoch().count();
    case RetentionLevel::daily: return day.time_since_epoch().count();
    // 1970 began on a Thursday: three days earlier was a Monday.
    case RetentionLevel::weekly: return floor<weeks>(day + days{3}).time_since_epoch().count();
    case RetentionLevel::monthly: {
      const year_month_day date{day};
      return std::int64_t{static_cast<int>(date.year())} * 12 + static_cast<unsigned>(date.month());
    }
  }
  return 0;
}

}  // namespace

std::string_view name_of(RetentionLevel level) {
  switch (level) {
    case RetentionLevel::newest: return "newest";
    case RetentionLevel::hourly: return "hourly";
    case RetentionLevel::daily: return "daily";
    case RetentionLevel::weekly: return "weekly";
    case RetentionLevel::monthly: return "monthly";
  }
  return "unknown";
}

std::vector<RetentionVerdict> apply_retention(const RetentionRule& rule,
                                              std::vector<SnapshotTime> snapshots) {
  std::ranges::sort(snapshots, [](const SnapshotTime& a, const SnapshotTime& b) {
    return a.number != b.number ? a.number > b.number : a.id < b.id;
  });
  std::vector<RetentionVerdict> verdicts;
  for (const SnapshotTime& snapshot : snapshots) verdicts.push_back({snapshot.id, {}});
  const auto newest = static_cast<std::size_t>(std::max(1, rule.newest));
  for (std::size_t i = 0; i < std::min(newest, verdicts.size()); ++i)
    verdicts[i].kept_as.push_back(RetentionLevel::newest);
  for (const auto& [level, count] : {std::pair(RetentionLevel::hourly, rule.hourly),
                                     std::pair(RetentionLevel::daily, rule.daily),
                                     std::pair(RetentionLevel::weekly, rule.weekly),
                                     std::pair(RetentionLevel::monthly, rule.monthly)}) {
    std::set<std::int64_t> periods;  // Also where a clock jumped back and forth.
    for (std::size_t i = 0; i < snapshots.size() && std::ssize(periods) < count; ++i)
      if (periods.insert(period_of(level, snapshots[i].created)).second)
        verdicts[i].kept_as.push_back(level);
  }
  return verdicts;
}

}  // namespace lamina::policy
