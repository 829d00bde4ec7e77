// A result as JSON, for programs and for `lamina-sim compare`. docs/simulation.md describes it.
//
// The format has a name and a version; a reader refuses others. Times are milliseconds since the
// start of the run or, where the name says so, since the wave began; bytes and rates are whole
// numbers. One thread.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "sim/report/run_result.hpp"

namespace lamina::sim {

inline constexpr std::string_view kResultFormat = "lamina-sim-result";
inline constexpr int kResultVersion = 1;
inline constexpr Bytes kResultMax = 1_GiB;  // More is not read.

// `result` is of `scenario`. One line for each site and line, so that `grep` finds them.
void write_result_json(std::ostream& out, const Scenario& scenario, const RunResult& result);

// What plans and measurements have in common, as far as the file says it.
struct Outcome {
  struct Wave {
    std::string name;
    std::int64_t devices = 0;
    std::int64_t done = 0;
    Percentiles completion;
    bool operator==(const Wave&) const = default;
  };
  struct Site {
    std::string name;
    std::int64_t devices = 0;
    std::int64_t done = 0;
    std::optional<Instant> finished;
    Bytes from_origin;  // Content over the line: by lease, by budget, by https.
    Bytes from_site;    // Content from devices of the site.
    bool operator==(const Site&) const = default;
  };
  std::string scenario;  // Its name.
  std::vector<Wave> waves;
  std::vector<Site> sites;
  Bytes wan_down;  // Wire, over all sites' lines.
  bool operator==(const Outcome&) const = default;
};

// `invalid` when it is no such file, of a version that is unknown, or something is missing in it.
Result<Outcome> parse_outcome(std::string_view text);

}  // namespace lamina::sim
