// The model's factors, from runs of the real programs.
//
// Each factor is taken from those runs that tell it, and is the value with which the simulation of
// the same scenario gives what was measured:
//
//   goodput      plain runs: content that had to cross the lines, by what they carried
//   start_takes  plain runs: when half of the devices were done
//   rules_take   runs with bandwidth rules: when half of the devices were done
//   takeover     runs in which reflectors die: when the last device was done
//   efficiency   runs whose ports are slower than their lines: when half of the devices were done
//   unevenness   runs in which each device fetches for itself: when half of them were done
//
// A plain run has none of those, and a device fetches for its site.
//
// Pure; any thread.
#pragma once

#include <vector>

#include "sim/report/run_result.hpp"
#include "sim/scenario/calibration.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

struct MeasuredRun {
  Scenario scenario;
  RunResult measured;  // As measured_result() gives it.
};

// What no run tells is left out.
Calibration calibrate(const std::vector<MeasuredRun>& runs);

}  // namespace lamina::sim
