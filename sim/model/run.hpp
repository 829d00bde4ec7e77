// From a scenario to what comes of it.
#pragma once

#include <functional>

#include "sim/report/run_result.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

struct RunOptions {
  int threads = 1;            // At least 1. The result does not depend on it, in no bit.
  bool with_direct = true;    // Also compute RunResult::direct.
  bool with_replicas = true;  // Also the replicas beyond the first.
  // Run all sites in one event loop, as is done where it matters. Slower, and the same result.
  bool together = false;
  // Told how much of the whole is computed, from 0 to 1 and never less than before, at most some
  // hundred times for each replica; by the thread that calls run().
  std::function<void(double share)> progress = {};
};

// `scenario` keeps its ranges (scenario.hpp). Takes seconds for a million devices; memory grows
// with the sites' results, and where the lines above the sites may be full or admission bounds the
// sites, with the devices. Any thread.
RunResult run(const Scenario& scenario, const RunOptions& options);

}  // namespace lamina::sim
