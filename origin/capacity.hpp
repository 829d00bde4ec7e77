// `lamina-origin capacity`: what takes the space of a data directory, how fast it grows, and when
// the disk is full.
#pragma once

#include <optional>
#include <ostream>
#include <vector>

#include "origin/data_directory.hpp"
#include "shared/cli/progress.hpp"

namespace lamina::origin {

// What came when, or, with a negative size, went: that was there on all days before.
struct Arrival {
  WallTime at;
  Bytes size;
};
// Bytes a day: the slope of the line of least squares through the sums at the end of each day, from
// the day of the first of them on, at most the last kGrowthDays up to `now`. None with less than
// kGrowthDaysMin days.
inline constexpr int kGrowthDays = 30;
inline constexpr int kGrowthDaysMin = 3;
std::optional<double> growth_a_day(const std::vector<Arrival>& arrivals, WallTime now);

// Prints the report. Reads only; `serve` may run. Memory: 48 bytes a chunk. `progress`: of the
// packs whose indexes were read. `not_found` when `data` is no origin's directory.
Status run_capacity(const DataDirectory& data, bool as_json, WallTime now, std::ostream& out,
                    lamina::cli::Progress& progress);

}  // namespace lamina::origin
