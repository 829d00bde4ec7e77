#include "sim/cli/reports.hpp"

#include <sstream>

#include "sim/cli/files.hpp"
#include "sim/report/result_csv.hpp"
#include "sim/report/result_html.hpp"
#include "sim/report/result_json.hpp"
#include "sim/report/result_metrics.hpp"

namespace lamina::sim {

Status check_report_directory(const std::string& directory, const std::string& scenario) {
  const auto slash = scenario.rfind('/');
  const std::string beside = slash == std::string::npos ? "." : scenario.substr(0, slash);
  if (!is_same_directory(directory, beside)) return Done{};
  return fail(ErrorKind::refused, directory +
                                      " holds the scenario, whose sites.csv would be written over: "
                                      "name another directory");
}

Status write_reports(const std::string& directory, const Scenario& scenario,
                     const RunResult& result) {
  using std::ostream;
  Status done = make_directory(directory);
  const auto add = [&](const char* name, const auto& write) {
    if (!done) return;
    std::ostringstream text;
    write(text);
    done = write_text_file(directory + '/' + name, text.view());
  };
  add("result.json", [&](ostream& out) { write_result_json(out, scenario, result); });
  add("waves.csv", [&](ostream& out) { write_waves_csv(out, result); });
  add("sites.csv", [&](ostream& out) { write_sites_csv(out, scenario, result); });
  add("lines.csv", [&](ostream& out) { write_lines_csv(out, scenario, result); });
  add("metrics.prom", [&](ostream& out) { out << result_metrics(scenario, result); });
  add("report.html", [&](ostream& out) { write_result_html(out, scenario, result); });
  return done;
}

}  // namespace lamina::sim
