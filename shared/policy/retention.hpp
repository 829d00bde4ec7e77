// Retention: which snapshots of a device are kept, by count at hourly, daily, weekly and monthly
// level.
//
// A level looks from the newest snapshot back: of every period that has snapshots the newest one is
// kept, for as many periods as the rule says. Periods are those of the calendar in UTC: hours,
// days, ISO weeks (from Monday on) and months. A period without snapshots does not count: a device
// that was away for a year keeps as many as any other. What no level keeps goes, but never the
// newest snapshot. A pure function.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

// How many periods of each level; 0: the level keeps nothing.
struct RetentionRule {
  int newest = 0;  // Snapshots, whatever their time.
  int hourly = 0;
  int daily = 0;
  int weekly = 0;
  int monthly = 0;
  bool operator==(const RetentionRule&) const = default;
};

struct SnapshotTime {
  SnapshotId id;
  std::uint64_t number = 0;  // Rises with every snapshot of the device: which of two is newer.
  WallTime created;          // As the device said; its clock may jump.
};

enum class RetentionLevel : std::uint8_t { newest, hourly, daily, weekly, monthly };
// "hourly"; stable.
std::string_view name_of(RetentionLevel level);

struct RetentionVerdict {
  SnapshotId id;
  std::vector<RetentionLevel> kept_as;  // None: it goes.
  bool operator==(const RetentionVerdict&) const = default;
};

// One verdict for each of `snapshots`, which come in any order and each once; the newest first.
std::vector<RetentionVerdict> apply_retention(const RetentionRule& rule,
                                              std::vector<SnapshotTime> snapshots);

}  // namespace lamina::policy
