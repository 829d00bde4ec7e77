#include <nlohmann/json.hpp>

#include "sim/cli/child.hpp"
#include "sim/cli/emulated.hpp"
#include "sim/cli/files.hpp"
#include "sim/cli/reports.hpp"
#include "sim/cli/simulate.hpp"
#include "sim/lab/measured.hpp"
#include "sim/lab/request.hpp"
#include "sim/model/run.hpp"

namespace lamina::sim {
namespace {

using json = nlohmann::ordered_json;

constexpr int kNoNamespaces = 77;  // emulate.py's exit code, as of any test that is skipped.

// Lets the lab carry out DIR/request.json and write DIR/measured.json.
Status run_lab(const EmulateOptions& options) {
  const std::string script = options.lab + "/emulate.py";
  if (!is_there(script))
    return fail(ErrorKind::not_found,
                script +
                    ": no such file; the lab comes with Lamina's sources: run this in their "
                    "top directory, or name its folder with --lab");
  std::vector<std::string> words{"python3",    script,
                                 "--request",  options.directory + std::string(kRequestFile),
                                 "--measured", options.directory + std::string(kMeasuredFile),
                                 "--build",    options.build};
  if (options.keep) words.push_back("--keep");
  const auto code = run_child(words);
  if (!code) return fail(code.error());
  if (*code == 0) return Done{};
  if (*code == kNoNamespaces)
    return fail(ErrorKind::unavailable, "the lab cannot run here: it says why above");
  return fail(ErrorKind::refused,
              "the lab failed with exit code " + std::to_string(*code) + ": it says why above");
}

// For `calibrate`.
Status note_scenario(const EmulateOptions& options, const Scenario& scenario) {
  const json record{{"format", kEmulatedFormat},
                    {"version", kEmulatedVersion},
                    {"scenario", absolute_path(options.scenario)},
                    {"set", options.set},
                    {"input_hash", scenario.input_hash}};
  return write_text_file(options.directory + std::string(kEmulatedFile),
                         record.dump(1, ' ', false, json::error_handler_t::replace) + '\n');
}

Result<RunResult> measure(const EmulateOptions& options, const Scenario& scenario,
                          const std::string& request) {
  Status done = make_directory(options.directory);
  if (done) done = write_text_file(options.directory + std::string(kRequestFile), request);
  if (done) done = run_lab(options);
  if (done) done = note_scenario(options, scenario);
  if (!done) return fail(done.error());
  const std::string file = options.directory + std::string(kMeasuredFile);
  const auto text = read_text_file(file, kMeasuredMax);
  if (!text) return fail(text.error());
  auto measured = measured_result(*text, scenario);
  if (!measured) return fail(std::move(measured.error()).in(file));
  return measured;
}

}  // namespace

cli::ExitCode run_emulate(const EmulateOptions& options, Io& io) {
  const auto overrides = parse_sets(options.set);
  if (!overrides) return report(overrides.error(), io);
  if (const Status good = check_report_directory(options.directory, options.scenario); !good)
    return report(good.error(), io);
  const auto scenario = load_scenario_file(options.scenario, *overrides);
  if (!scenario) return report(scenario.error(), io);
  const auto request = lab_request(*scenario, options.scenario);
  if (!request) return report(request.error(), io);

  const auto measured = measure(options, *scenario, *request);
  if (!measured) return report(measured.error(), io);
  const std::string plan = options.directory + "/plan";
  Status written = write_reports(options.directory, *scenario, *measured);
  if (written) written = write_reports(plan, *scenario, run(*scenario, {}));
  if (!written) return report(written.error(), io);
  const CompareOptions both{plan + "/result.json", options.directory + "/result.json",
                            options.as_json};
  if (const auto code = run_compare(both, io); code != cli::ok) return code;
  if (options.as_json) return cli::ok;
  io.out << "\nWhat was measured: " << options.directory << "/report.html\n";
  return cli::ok;
}

}  // namespace lamina::sim
