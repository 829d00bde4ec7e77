// A result as one page for people: no network, no script, readable on paper.
//
// It is well-formed as XML too. Percentiles and ranges, never a promise for one device. One thread.
#pragma once

#include <ostream>

#include "sim/report/run_result.hpp"

namespace lamina::sim {

void write_result_html(std::ostream& out, const Scenario& scenario, const RunResult& result);

}  // namespace lamina::sim
