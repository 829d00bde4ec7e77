// The files that tell a result: report.html, result.json, tables and metrics. One thread.
#pragma once

#include <string>

#include "sim/report/run_result.hpp"

namespace lamina::sim {

// `refused` when the directory holds the scenario's own file, whose tables would be written over.
Status check_report_directory(const std::string& directory, const std::string& scenario);

// Writes all of them into the directory, which is made.
Status write_reports(const std::string& directory, const Scenario& scenario,
                     const RunResult& result);

}  // namespace lamina::sim
