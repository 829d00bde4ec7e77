#include "sim/report/figures.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "shared/base/assert.hpp"
#include "shared/policy/week.hpp"

namespace lamina::sim {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr Duration kHour = hours(1);
constexpr std::array<std::string_view, 7> kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

// Bytes for a rate and a time. Doubles: only their ratio is shown.
double capacity_of(BitRate rate, Duration time) {
  constexpr double kBitsPerByte = 8;
  return static_cast<double>(rate.bits_per_second) / kBitsPerByte *
         std::chrono::duration<double>(time).count();
}

// None is the highest.
template <class T>
bool is_before(const std::optional<T>& a, const std::optional<T>& b) {
  return a && (!b || *a < *b);
}

double highest_use(const LineResult& line) {
  const auto busiest = busiest_hour(line);
  return busiest ? static_cast<double>(busiest->bytes.count) / capacity_of(line.rate, kHour) : 0;
}

}  // namespace

template <class T>
Spread<T> spread_of(std::vector<std::optional<T>> values) {
  Spread<T> spread;
  spread.replicas = values.size();
  if (values.empty()) return spread;
  std::ranges::stable_sort(values, is_before<T>);
  spread.reached = static_cast<std::size_t>(
      std::ranges::count_if(values, [](const auto& value) { return value.has_value(); }));
  spread.lowest = values.front();
  spread.median = values[(values.size() - 1) / 2];
  spread.highest = values.back();
  return spread;
}
template Spread<Duration> spread_of(std::vector<std::optional<Duration>> values);
template Spread<std::int64_t> spread_of(std::vector<std::optional<std::int64_t>> values);
template Spread<Instant> spread_of(std::vector<std::optional<Instant>> values);

WaveSpread spread_of_wave(const RunResult& result, std::size_t wave) {
  std::vector<std::optional<Duration>> p50, p95, p99;
  std::vector<std::optional<std::int64_t>> done;
  for (const Replica& replica : result.replicas) {
    LAMINA_ASSERT(wave < replica.waves.size());
    const Replica::Wave& of = replica.waves[wave];
    p50.push_back(of.completion.p50);
    p95.push_back(of.completion.p95);
    p99.push_back(of.completion.p99);
    done.emplace_back(of.done);
  }
  return {spread_of(std::move(p50)), spread_of(std::move(p95)), spread_of(std::move(p99)),
          spread_of(std::move(done))};
}

std::optional<BusiestHour> busiest_hour(const LineResult& line) {
  const auto most = std::ranges::max_element(line.hours);
  if (most == line.hours.end() || most->count == 0) return std::nullopt;
  return BusiestHour{static_cast<std::size_t>(most - line.hours.begin()), *most};
}

double use_of(const LineResult& line, std::size_t hour, Duration run) {
  const Duration left = run - static_cast<std::int64_t>(hour) * kHour;
  const Duration time = std::min(kHour, left);
  if (time <= Duration{0} || line.rate.bits_per_second <= 0) return 0;
  const double use = static_cast<double>(line.hours[hour].count) / capacity_of(line.rate, time);
  return std::clamp(use, 0.0, 1.0);
}

const LineResult& line_of_site(const RunResult& result, Index site, Direction direction) {
  // Sites' lines stand last, two each, down before up.
  const std::size_t from_end = 2 * (result.sites.size() - site) - (direction == Direction::up);
  LAMINA_ASSERT(from_end >= 1 && from_end <= result.lines.size());
  const LineResult& line = result.lines[result.lines.size() - from_end];
  LAMINA_ASSERT(line.kind == LineKind::site && line.index == site && line.direction == direction);
  return line;
}

std::vector<std::size_t> most_saturated(const RunResult& result, std::size_t most) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < result.lines.size(); ++i)
    if (result.lines[i].saturated > Duration{0}) found.push_back(i);
  const auto key = [&](std::size_t i) {
    return std::tuple(-result.lines[i].saturated.count(), -highest_use(result.lines[i]), i);
  };
  most = std::min(most, found.size());
  std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(most), {}, key);
  found.resize(most);
  return found;
}

std::vector<Index> slowest_sites(const RunResult& result, std::size_t most) {
  std::vector<Index> found;
  for (Index i = 0; i < result.sites.size(); ++i)
    if (result.sites[i].devices > 0) found.push_back(i);
  most = std::min(most, found.size());
  std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(most),
                            [&](Index a, Index b) {
                              const auto& x = result.sites[a].finished;
                              const auto& y = result.sites[b].finished;
                              return x == y ? a < b : is_before(y, x);
                            });
  found.resize(most);
  return found;
}

std::string name_of_line(const LineResult& line, const Scenario& scenario) {
  switch (line.kind) {
    case LineKind::origin: return "origin";
    case LineKind::region: return "region " + scenario.regions[line.index].name;
    case LineKind::seeder: return "seeder " + scenario.regions[line.index].name;
    case LineKind::site: return scenario.sites[line.index].name;
  }
  return {};
}

std::array<double, kLimits> shares_of(const Waiting& waiting) {
  std::array<double, kLimits> shares{};
  const auto all =
      static_cast<double>(std::accumulate(waiting.begin(), waiting.end(), std::int64_t{0}));
  for (std::size_t i = 0; i < kLimits && all > 0; ++i)
    shares[i] = static_cast<double>(waiting[i]) / all;
  return shares;
}

std::string clock_text(Instant at, const Run& run) {
  constexpr std::int64_t kThursday = 3;  // 1970-01-01.
  const auto minutes = std::chrono::floor<std::chrono::minutes>(
                           Duration{run.start.ns} + run.utc_offset + at.time_since_epoch())
                           .count();
  const std::int64_t day = (minutes / policy::kMinutesPerDay + kThursday) % 7;
  return std::string(kDays[static_cast<std::size_t>(day)]) + ' ' +
         policy::text_of_time_of_day(static_cast<int>(minutes % policy::kMinutesPerDay));
}

std::string time_text(std::optional<Duration> time) {
  return time ? to_text(*time) : "not reached";
}

std::string range_text(const Spread<Duration>& spread) {
  if (spread.replicas < 2) return {};
  if (spread.reached == 0) return "not reached in any of " + std::to_string(spread.replicas);
  std::string text = to_text(*spread.lowest) + " to ";
  if (spread.highest) return text + to_text(*spread.highest);
  return text + "not reached in " + std::to_string(spread.replicas - spread.reached) + " of " +
         std::to_string(spread.replicas);
}

std::string_view meaning_of(Limit limit) {
  switch (limit) {
    case Limit::offline: return "the device is off or away";
    case Limit::admission: return "its site waits for its turn";
    case Limit::reflector: return "nobody fetches for the site";
    case Limit::origin: return "the origin's or the seeder's rate";
    case Limit::region: return "a region's line";
    case Limit::wan: return "the site's line";
    case Limit::rule: return "a bandwidth rule";
    case Limit::tcp: return "round trip, loss, window";
    case Limit::lan: return "the site's own network";
  }
  return "";
}

}  // namespace lamina::sim
