// RunResult: what one run of a scenario gave, for the report, the files and the comparisons.
//
// The model makes it; sim/report turns it into JSON, CSV, HTML and text for Prometheus. All of it
// but `replicas` describes the replica of the scenario's own seed. Instants count from the start of
// the run (Scenario::run.start).
//
// Two kinds of bytes: "content" is what devices got or gave, without overhead; "wire" is what
// crossed a line for it, content / Tcp::goodput. Every number says which.
//
// Percentiles of a wave are over all its devices: where 99 % did not finish in time there is no
// p99. Nothing here speaks of a single device: individual rates are not predictable.
//
// Plain values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/units.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// Where bytes come from, in the order and by the names of wire::kByteSources, which the origin and
// the devices count under too.
enum class Source {
  lan_peer,          // A device of the site that fetches for nobody.
  reflector,         // A device of the site that fetches for it.
  origin_by_lease,   // Over the line, for the site.
  origin_by_budget,  // Over the line, by a device for itself: Mode::direct, or no reflector.
  origin_by_https,   // Over the API's port. The model has no such case: 0.
  local_cache,       // What the device had already. Not modelled: 0.
};
inline constexpr std::size_t kSources = 6;
std::string_view name_of(Source source);  // "lan-peer"...
using BySource = std::array<Bytes, kSources>;

// What a device waits for that is up, or should be, and lacks content of its wave. One at a time:
// the first of these that applies, where the fetch of a site counts for all who wait for it.
enum class Limit {
  offline,    // The device is not there.
  admission,  // Its site has no place among those that may fetch.
  reflector,  // Nobody fetches for the site: the one who did is gone or died.
  origin,     // The origin's (or the region's seeder's) rate.
  region,     // A region's line.
  wan,        // The site's line, less what others send over it.
  rule,       // A bandwidth rule.
  tcp,        // Round trip, loss, window.
  lan,        // Ports, the radio, the reflector's own port, the swarm's efficiency.
};
inline constexpr std::size_t kLimits = 9;
std::string_view name_of(Limit limit);  // "offline"...
// Milliseconds of devices: 3 devices that wait for 2 s make 6,000.
using Waiting = std::array<std::int64_t, kLimits>;

// Since the wave began, until this share of its devices was done. None: not within the run.
struct Percentiles {
  std::optional<Duration> p50;
  std::optional<Duration> p95;
  std::optional<Duration> p99;
  bool operator==(const Percentiles&) const = default;
};

// Of a wave of `devices`, of which those that are done were so at the moments `done`, ascending.
Percentiles percentiles_of(const std::vector<Instant>& done, std::int64_t devices, Instant began);

struct CurvePoint {
  Instant at{};
  std::int64_t done = 0;
  bool operator==(const CurvePoint&) const = default;
};
inline constexpr std::size_t kCurvePointsMax = 400;

struct WaveResult {
  std::string name;
  std::int64_t devices = 0;
  std::int64_t done = 0;         // Applied it.
  std::int64_t failed = 0;       // Could not apply it. The rest did not get so far.
  std::optional<Instant> began;  // None: not within the run.
  std::optional<Instant> ended;  // When the last device was done or had failed, if all did.
  Percentiles completion;
  // Done so far, from {began, 0} on; both ascend. At most kCurvePointsMax; the last is the total.
  std::vector<CurvePoint> curve;
  bool operator==(const WaveResult&) const = default;
};

struct SiteResult {          // Of the scenario's site with the same index.
  std::int64_t devices = 0;  // In a wave.
  std::int64_t done = 0;
  std::optional<Instant> finished;  // When the last of them was done; none: not all were.
  BySource bytes{};                 // Content that its devices received.
  Bytes uploaded;                   // Content that the origin has.
  Bytes upload_left;                // Content that was due and is not there at the end of the run.
  Waiting waiting{};
  bool operator==(const SiteResult&) const = default;
};

enum class LineKind { origin, region, seeder, site };
std::string_view name_of(LineKind kind);  // "origin", "region", "seeder", "site".
enum class Direction { down, up };        // As the sites see it: down is towards devices.
std::string_view name_of(Direction direction);

// A line and what the rollout and the uploads sent over it.
struct LineResult {
  LineKind kind = LineKind::site;
  Index index = 0;  // Of the region (also of a seeder) or site; 0 for the origin.
  Direction direction = Direction::down;
  BitRate rate;  // Of the line, whoever uses it.
  // Wire, for each hour of the run; the last may be cut short.
  std::vector<Bytes> hours;
  // How long the line was the bottleneck of some transfer: all that others left of it was used.
  Duration saturated{};
  bool operator==(const LineResult&) const = default;
};

// What one way of distribution costs in all.
struct Totals {
  Mode mode = Mode::direct;
  Bytes origin;    // Wire, out of the origin.
  Bytes wan_down;  // Wire, over all sites' lines.
  Bytes wan_up;    // Wire, likewise.
  BitRate peak;    // Out of the origin, mean of its busiest hour.
  std::int64_t devices = 0;
  std::int64_t done = 0;
  std::optional<Instant> finished;  // When the last device was done; none: not all were.
  bool operator==(const Totals&) const = default;
};

// What is compared over replicas.
struct Replica {
  std::uint64_t seed = 0;
  struct Wave {
    std::int64_t done = 0;
    std::int64_t failed = 0;
    std::optional<Instant> began;
    Percentiles completion;
    bool operator==(const Wave&) const = default;
  };
  std::vector<Wave> waves;
  Totals totals;
  bool operator==(const Replica&) const = default;
};

struct RunResult {
  std::string engine_version;  // Of the program that computed it.
  std::string input_hash;      // Scenario::input_hash.
  std::uint64_t seed = 0;
  std::vector<WaveResult> waves;  // As the scenario's.
  std::vector<SiteResult> sites;  // As the scenario's.
  // The origin's two, then for each region those of its two that have a rate, then seeders (down
  // only), then for each site its two; down before up.
  std::vector<LineResult> lines;
  Totals totals;
  // The same scenario and seed with Mode::direct; none: not computed.
  std::optional<Totals> direct;
  std::vector<Replica> replicas;  // By seed, ascending; the first is this run's own.
  bool operator==(const RunResult&) const = default;
};

// Of all sites.
BySource bytes_of(const RunResult& result);
Waiting waiting_of(const RunResult& result);

}  // namespace lamina::sim
