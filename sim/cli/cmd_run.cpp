#include <sstream>

#include "sim/cli/files.hpp"
#include "sim/cli/reports.hpp"
#include "sim/cli/simulate.hpp"
#include "sim/report/result_json.hpp"

namespace lamina::sim {

cli::ExitCode run_run(const RunCommand& options, Io& io) {
  const auto overrides = parse_sets(options.simulation.set);
  if (!overrides) return report(overrides.error(), io);
  if (!options.directory.empty())
    if (const Status good = check_report_directory(options.directory, options.simulation.scenario);
        !good)
      return report(good.error(), io);
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
    std::ostringstream text;
    write_result_json(text, *scenario, result);
    if (const Status written = write_text_file(options.json, text.view()); !written)
      return report(written.error(), io);
  }
  cli::write_table(io.out, wave_rows(result));
  if (!options.directory.empty())
    io.out << "\nThe report: " << options.directory << "/report.html\n";
  return cli::ok;
}

}  // namespace lamina::sim
