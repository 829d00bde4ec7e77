#include <sstream>

#include "sim/cli/files.hpp"
#include "sim/cli/simulate.hpp"
#include "sim/report/result_csv.hpp"
#include "sim/report/result_html.hpp"
#include "sim/report/result_json.hpp"
#include "sim/report/result_metrics.hpp"

namespace lamina::sim {
namespace {

template <class Write>
Status write_report(const std::string& path, const Write& write) {
  std::ostringstream text;
  write(text);
  return write_text_file(path, text.view());
}

Status write_reports(const std::string& directory, const Scenario& scenario,
                     const RunResult& result) {
  using std::ostream;
  Status done = make_directory(directory);
  const auto add = [&](const char* name, const auto& write) {
    if (done) done = write_report(directory + '/' + name, write);
  };
  add("result.json", [&](ostream& out) { write_result_json(out, scenario, result); });
  add("waves.csv", [&](ostream& out) { write_waves_csv(out, result); });
  add("sites.csv", [&](ostream& out) { write_sites_csv(out, scenario, result); });
  add("lines.csv", [&](ostream& out) { write_lines_csv(out, scenario, result); });
  add("metrics.prom", [&](ostream& out) { out << result_metrics(scenario, result); });
  add("report.html", [&](ostream& out) { write_result_html(out, scenario, result); });
  return done;
}

// The scenario's own files must not be written over by tables of the same name.
Status check_directory(const RunCommand& options) {
  const auto slash = options.simulation.scenario.rfind('/');
  const std::string beside =
      slash == std::string::npos ? "." : options.simulation.scenario.substr(0, slash);
  if (options.directory.empty() || !is_same_directory(options.directory, beside)) return Done{};
  return fail(ErrorKind::refused, options.directory +
                                      " holds the scenario, whose sites.csv would be written over: "
                                      "name another directory");
}

}  // namespace

cli::ExitCode run_run(const RunCommand& options, Io& io) {
  const auto overrides = parse_sets(options.simulation.set);
  if (!overrides) return report(overrides.error(), io);
  if (const Status good = check_directory(options); !good) return report(good.error(), io);
  const auto scenario = load_for(options.simulation, *overrides);
  if (!scenario) return report(scenario.error(), io);

  const RunResult result = run_shown(*scenario, {.threads = options.simulation.threads}, "", io);
  if (!options.directory.empty())
    if (const Status written = write_reports(options.directory, *scenario, result); !written)
      return report(written.error(), io);
  if (options.json == "-") {
    write_result_json(io.out, *scenario, result);
    return cli::ok;
  }
  if (!options.json.empty()) {
    const Status written = write_report(
        options.json, [&](std::ostream& out) { write_result_json(out, *scenario, result); });
    if (!written) return report(written.error(), io);
  }
  cli::write_table(io.out, wave_rows(result));
  if (!options.directory.empty())
    io.out << "\nThe report: " << options.directory << "/report.html\n";
  return cli::ok;
}

}  // namespace lamina::sim
