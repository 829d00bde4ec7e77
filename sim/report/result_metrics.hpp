// A result as text for Prometheus, under the names that an origin uses (docs/operator.md,
// "Monitoring"), so that one board shows the plan beside what happened. What an origin does not
// count is named lamina_sim_*. One thread.
#pragma once

#include <string>

#include "sim/report/run_result.hpp"

namespace lamina::sim {

std::string result_metrics(const Scenario& scenario, const RunResult& result);

}  // namespace lamina::sim
