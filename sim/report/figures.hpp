// What a report says about a result that the result does not say itself: rates of use, the fullest
// lines, what keeps whom, ranges over replicas; and how all of it is written for people.
//
// Pure functions; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/report/run_result.hpp"

namespace lamina::sim {

// Of one figure over the replicas. None: in that replica it was not reached within the run; such
// replicas count as higher than all others.
template <class T>
struct Spread {
  std::optional<T> lowest;
  std::optional<T> median;
  std::optional<T> highest;
  std::size_t reached = 0;  // Replicas.
  std::size_t replicas = 0;
  bool operator==(const Spread&) const = default;
};
// `values`: one for each replica. The median of an even number is the lower of the two in the
// middle: a value that some replica had.
template <class T>
Spread<T> spread_of(std::vector<std::optional<T>> values);

struct WaveSpread {
  Spread<Duration> p50;
  Spread<Duration> p95;
  Spread<Duration> p99;
  Spread<std::int64_t> done;
};
WaveSpread spread_of_wave(const RunResult& result, std::size_t wave);

// The hour with the most bytes, the first of equals; none: nothing crossed the line.
struct BusiestHour {
  std::size_t hour = 0;  // Of the run.
  Bytes bytes;
};
std::optional<BusiestHour> busiest_hour(const LineResult& line);

// How much of what the line can carry in that hour was used: 0 to 1. The run's last hour may be
// short.
double use_of(const LineResult& line, std::size_t hour, Duration run);

// The line of a site; the result has one for each direction.
const LineResult& line_of_site(const RunResult& result, Index site, Direction direction);

// Indexes into result.lines: at most `most`, those that were the bottleneck longest first, then by
// their use in the busiest hour; lines that never were are left out.
std::vector<std::size_t> most_saturated(const RunResult& result, std::size_t most);

// Indexes of sites: at most `most`. First those that did not finish, then the latest.
std::vector<Index> slowest_sites(const RunResult& result, std::size_t most);

// "origin", "region east", "seeder east", "berlin-1".
std::string name_of_line(const LineResult& line, const Scenario& scenario);

// The share of each of all waiting, 0 to 1; all 0 when nobody waited.
std::array<double, kLimits> shares_of(const Waiting& waiting);

// On the calendar of the run's zone: "Tue 02:15".
std::string clock_text(Instant at, const Run& run);
// "3 h 10 min"; none: "not reached".
std::string time_text(std::optional<Duration> time);
// "2 h 50 min to 3 h 40 min", "3 h 10 min to not reached in 2 of 5"; one replica: nothing.
std::string range_text(const Spread<Duration>& spread);

// What the limit means, as a planner would ask: "the site's line".
std::string_view meaning_of(Limit limit);

}  // namespace lamina::sim
