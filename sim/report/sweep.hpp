// What a sweep gave: a scenario run with each combination of some values, and how that is told.
//
// Intervals are over the replicas; all variants have the same seeds, so that chance does not tell
// them apart. One thread.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "shared/cli/table.hpp"
#include "sim/report/figures.hpp"
#include "sim/report/run_result.hpp"

namespace lamina::sim {

struct SweepVariant {
  std::vector<std::string> values;  // By key of the sweep.
  std::string input_hash;
  struct Wave {
    std::string name;
    std::int64_t devices = 0;
    std::int64_t done = 0;
    WaveSpread spread;
  };
  std::vector<Wave> waves;
  Totals totals;
};
SweepVariant variant_of(std::vector<std::string> values, const RunResult& result);

struct Sweep {
  std::string scenario;  // Its name.
  std::vector<std::string> keys;
  // At least one. They may have different waves, where a key names one.
  std::vector<SweepVariant> variants;
};

cli::Rows sweep_rows(const Sweep& sweep);
void write_sweep_json(std::ostream& out, const Sweep& sweep);
// One page for people, as write_result_html().
void write_sweep_html(std::ostream& out, const Sweep& sweep);

}  // namespace lamina::sim
