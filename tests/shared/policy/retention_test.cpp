#include "shared/policy/retention.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>

using namespace lamina;
using namespace lamina::policy;

namespace {

// "2026-03-01 12:30" in UTC.
WallTime at(const std::string& text) {
  using namespace std::chrono;
  const auto part = [&](std::size_t from, std::size_t length) {
    return std::stoi(text.substr(from, length));
  };
  const year_month_day date{year{part(0, 4)}, month{static_cast<unsigned>(part(5, 2))},
                            day{static_cast<unsigned>(part(8, 2))}};
  return {duration_cast<nanoseconds>(sys_days{date}.time_since_epoch() + hours{part(11, 2)} +
                                     minutes{part(14, 2)})
              .count()};
}

SnapshotId id_of(std::size_t number) {
  std::array<std::byte, SnapshotId::kSize> bytes{};
  bytes[0] = static_cast<std::byte>(number);
  return SnapshotId(bytes);
}

// Numbered from 1, as they were sent.
std::vector<SnapshotTime> sent(const std::vector<std::string>& times) {
  std::vector<SnapshotTime> snapshots;
  for (const std::string& time : times)
    snapshots.push_back({id_of(snapshots.size() + 1), snapshots.size() + 1, at(time)});
  return snapshots;
}

// "-" or the levels' first letters for each snapshot, oldest first.
std::string judged(const RetentionRule& rule, const std::vector<SnapshotTime>& snapshots) {
  std::string text;
  const auto verdicts = apply_retention(rule, snapshots);
  for (auto one = verdicts.rbegin(); one != verdicts.rend(); ++one) {
    if (!text.empty()) text += ' ';
    if (one->kept_as.empty()) text += '-';
    for (const RetentionLevel level : one->kept_as) text += name_of(level)[0];
  }
  return text;
}

struct Case {
  const char* name;
  RetentionRule rule;
  std::vector<std::string> times;  // Oldest first.
  const char* kept;
};

const Case kCases[] = {
    {"nothing there", {.newest = 3}, {}, ""},
    {"an empty rule keeps the newest", {}, {"2026-03-01 12:00", "2026-03-01 13:00"}, "- n"},
    {"the newest ones, whatever their time",
     {.newest = 2},
     {"2026-03-01 12:00", "2026-03-01 12:01", "2026-03-01 12:02"},
     "- n n"},
    {"more than there are", {.newest = 9}, {"2026-03-01 12:00", "2026-03-01 12:01"}, "n n"},
    {"of an hour the newest",
     {.hourly = 2},
     {"2026-03-01 11:59", "2026-03-01 12:00", "2026-03-01 12:59", "2026-03-01 13:00",
      "2026-03-01 13:30"},
     "- - h - nh"},
    {"hours without snapshots do not count",
     {.hourly = 2},
     {"2026-01-01 00:10", "2026-02-01 00:10", "2026-03-01 00:10"},
     "- h nh"},
    {"days end at midnight in UTC",
     {.daily = 2},
     {"2026-02-28 23:58", "2026-02-28 23:59", "2026-03-01 00:00", "2026-03-01 00:01"},
     "- d - nd"},
    {"weeks begin on Monday, also over the end of a year",
     {.weekly = 3},
     // Sunday; Monday of the week 2026-W01; its Sunday; the next Monday.
     {"2025-12-28 23:00", "2025-12-29 00:00", "2026-01-04 23:59", "2026-01-05 00:00"},
     "w - w nw"},
    {"months have 28 to 31 days",
     {.monthly = 3},
     {"2024-01-31 10:00", "2024-02-01 10:00", "2024-02-29 23:59", "2024-03-01 00:00"},
     "m - m nm"},
    {"the same month of another year is another one",
     {.monthly = 2},
     {"2025-03-01 10:00", "2026-03-01 10:00"},
     "m nm"},
    {"levels add up",
     {.newest = 1, .hourly = 2, .daily = 2, .weekly = 2, .monthly = 2},
     {"2026-01-15 10:00", "2026-01-31 10:00", "2026-02-20 10:00", "2026-02-28 10:00",
      "2026-02-28 11:00", "2026-02-28 11:30"},
     "- m dw h - nhdwm"},
    {"before 1970", {.daily = 2}, {"1969-12-31 23:00", "1970-01-01 01:00"}, "d nd"},
    {"a clock that jumped ahead and back: by number, each period once",
     {.daily = 2},
     {"2026-03-01 10:00", "2036-01-01 10:00", "2026-03-01 11:00"},
     "- d nd"},
};

}  // namespace

TEST_CASE("retention: which snapshots stay, and as what", "[policy]") {
  for (const Case& one : kCases) {
    CAPTURE(one.name);
    CHECK(judged(one.rule, sent(one.times)) == one.kept);
  }
}

TEST_CASE("retention: the order in which snapshots are given does not matter", "[policy]") {
  for (const Case& one : kCases) {
    CAPTURE(one.name);
    auto snapshots = sent(one.times);
    std::ranges::reverse(snapshots);
    CHECK(judged(one.rule, snapshots) == one.kept);
  }
}

TEST_CASE("retention: applied day by day it keeps what it keeps at once", "[policy]") {
  const RetentionRule rule{.newest = 1, .hourly = 24, .daily = 7, .weekly = 4, .monthly = 12};
  constexpr std::int64_t kHour = std::int64_t{3600} * 1'000'000'000;
  std::vector<SnapshotTime> kept;
  for (std::uint64_t hour = 0; hour < 500UL * 24; ++hour) {
    // Every hour of 500 days; the ids only have to differ among those that are kept.
    std::array<std::byte, SnapshotId::kSize> bytes{};
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(hour >> (8 * i));
    kept.push_back({SnapshotId(bytes),
                    hour + 1,
                    {at("2025-01-01 00:30").ns + static_cast<std::int64_t>(hour) * kHour}});
    const auto verdicts = apply_retention(rule, kept);
    std::erase_if(kept, [&](const SnapshotTime& one) {
      return std::ranges::any_of(verdicts, [&](const RetentionVerdict& verdict) {
        return verdict.id == one.id && verdict.kept_as.empty();
      });
    });
  }
  const auto verdicts = apply_retention(rule, kept);
  const auto count = [&](RetentionLevel level) {
    return std::ranges::count_if(verdicts, [&](const RetentionVerdict& verdict) {
      return std::ranges::find(verdict.kept_as, level) != verdict.kept_as.end();
    });
  };
  CHECK(count(RetentionLevel::hourly) == 24);
  CHECK(count(RetentionLevel::daily) == 7);
  CHECK(count(RetentionLevel::weekly) == 4);
  CHECK(count(RetentionLevel::monthly) == 12);
  CHECK(kept.size() <= 24 + 7 + 4 + 12);
}
