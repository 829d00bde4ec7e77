#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "sim/cli/emulated.hpp"
#include "sim/cli/files.hpp"
#include "sim/cli/simulate.hpp"
#include "sim/lab/calibrate.hpp"
#include "sim/lab/measured.hpp"
#include "sim/report/json_reading.hpp"
#include "sim/report/markup.hpp"

namespace lamina::sim {
namespace {

using Json = nlohmann::json;
using json = nlohmann::ordered_json;

// Which scenario a run was of, and of what.
struct Emulated {
  std::string scenario;
  std::vector<std::string> set;
  std::string input_hash;
};

Result<Emulated> read_emulated(const std::string& directory) {
  const std::string file = directory + std::string(kEmulatedFile);
  const auto text = read_text_file(file, kMeasuredMax);
  if (!text) return fail(text.error());
  try {
    const Json top = Json::parse(*text);
    if (!top.is_object() || top.value("format", "") != kEmulatedFormat ||
        top.value("version", 0) != kEmulatedVersion)
      return fail(ErrorKind::invalid,
                  file + ": `lamina-sim emulate` of this version wrote no such");
    return Emulated{top.at("scenario").get<std::string>(),
                    top.at("set").get<std::vector<std::string>>(),
                    top.at("input_hash").get<std::string>()};
  } catch (const Json::exception& error) {
    return fail(ErrorKind::invalid, file + ": " + text_of(error));
  }
}

Result<MeasuredRun> read_run(const std::string& directory) {
  const auto emulated = read_emulated(directory);
  if (!emulated) return fail(emulated.error());
  const auto overrides = parse_sets(emulated->set);
  if (!overrides) return fail(overrides.error());
  auto scenario = load_scenario_file(emulated->scenario, *overrides);
  if (!scenario || scenario->input_hash != emulated->input_hash)
    return fail(ErrorKind::invalid,
                directory + ": " + emulated->scenario +
                    " is not what it was when this was measured: emulate it again");
  const std::string file = directory + std::string(kMeasuredFile);
  const auto text = read_text_file(file, kMeasuredMax);
  if (!text) return fail(text.error());
  auto measured = measured_result(*text, *scenario);
  if (!measured) return fail(std::move(measured.error()).in(file));
  return MeasuredRun{std::move(*scenario), std::move(*measured)};
}

// Calls `visit` with name, factor and whether it is in seconds.
template <class Visit>
void for_each_factor(const Calibration& all, const Visit& visit) {
  if (all.goodput) visit("goodput", *all.goodput, false);
  if (all.unevenness) visit("unevenness", *all.unevenness, false);
  if (all.start_takes) visit("start_takes", *all.start_takes, true);
  if (all.rules_take) visit("rules_take", *all.rules_take, true);
  if (all.takeover) visit("takeover", *all.takeover, true);
  for (const Calibration::Eta& eta : all.efficiency)
    visit("efficiency of " + std::to_string(eta.peers) + " peers, " + std::to_string(eta.pieces) +
              " pieces",
          eta.eta, false);
}

void print(const Calibration& all, std::ostream& out) {
  cli::Rows rows{{"FACTOR", "MEAN", "LOWEST", "HIGHEST", "RUNS"}};
  for_each_factor(all, [&](const std::string& name, const Factor& factor, bool is_time) {
    const auto text = [&](double value) {
      return decimal(value, is_time ? 2 : 4) + (is_time ? " s" : "");
    };
    rows.push_back({name, text(factor.mean), text(factor.lowest), text(factor.highest),
                    std::to_string(factor.runs)});
  });
  cli::write_table(out, rows);
}

json record_of(const Calibration& all) {
  json factors = json::array();
  for_each_factor(all, [&](const std::string& name, const Factor& factor, bool is_time) {
    factors.push_back({{"name", name},
                       {"unit", is_time ? "s" : ""},
                       {"mean", factor.mean},
                       {"lowest", factor.lowest},
                       {"highest", factor.highest},
                       {"runs", factor.runs}});
  });
  return {{"format", kCalibrationFormat}, {"version", kCalibrationVersion}, {"factors", factors}};
}

}  // namespace

cli::ExitCode run_calibrate(const CalibrateOptions& options, Io& io) {
  std::vector<MeasuredRun> runs;
  for (const std::string& directory : options.runs) {
    auto run = read_run(directory);
    if (!run) return report(run.error(), io);
    runs.push_back(std::move(*run));
  }
  const Calibration calibration = calibrate(runs);
  if (calibration == Calibration{})
    return report(Error(ErrorKind::invalid,
                        "these runs tell no factor: docs/simulation.md says "
                        "which run tells which"),
                  io);
  if (!options.file.empty()) {
    const std::string text = "# From " + std::to_string(runs.size()) +
                             " runs, by `lamina-sim calibrate`.\n" + to_toml(calibration);
    if (const Status written = write_text_file(options.file, text); !written)
      return report(written.error(), io);
  }
  if (options.as_json)
    io.out << record_of(calibration).dump() << '\n';
  else
    print(calibration, io.out);
  return cli::ok;
}

}  // namespace lamina::sim
