// A result as tables for spreadsheets: a header line, then one line each, "\n" at each line's end.
//
// Times are seconds since the start of the run (waves' percentiles: since the wave began), whole
// bytes and bits; empty: not reached, or none. One thread.
#pragma once

#include <ostream>

#include "sim/report/run_result.hpp"

namespace lamina::sim {

void write_waves_csv(std::ostream& out, const RunResult& result);
void write_sites_csv(std::ostream& out, const Scenario& scenario, const RunResult& result);
// With a column for each hour of the run: wire bytes.
void write_lines_csv(std::ostream& out, const Scenario& scenario, const RunResult& result);

}  // namespace lamina::sim
