#include "sim/scenario/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "sim/scenario/quantities.hpp"
#include "sim/scenario/sections.hpp"

namespace lamina::sim {
namespace {

using namespace std::chrono_literals;

std::string plain(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.5f", value);
  return text;
}

std::string milliseconds(double seconds) {
  return '"' + std::to_string(std::llround(seconds * 1e3)) + "ms\"";
}

template <class Text>
std::string values_of(const Factor& factor, const Text& text) {
  return "mean = " + text(factor.mean) + ", lowest = " + text(factor.lowest) +
         ", highest = " + text(factor.highest) + ", runs = " + std::to_string(factor.runs);
}

// What stands in a file for one factor; the mean is read into `mean`, and the spread is checked.
template <class T, class Parse, class Range>
void read_factor(Fields& fields, T& mean, const Parse& parse, const Range& range) {
  for (const char* key : {"mean", "lowest", "highest", "runs"}) fields.needs(key);
  T ignored{};
  std::int64_t runs = 0;
  fields.read("mean", mean, parse, range);
  fields.read("lowest", ignored, parse, range);
  fields.read("highest", ignored, parse, range);
  fields.read("runs", runs, parse_count, sim::Range<std::int64_t>{1, 1'000'000});
}

}  // namespace

Factor factor_of(const std::vector<double>& values) {
  const auto [lowest, highest] = std::ranges::minmax(values);
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {sum / static_cast<double>(values.size()), lowest, highest,
          static_cast<int>(values.size())};
}

std::string to_toml(const Calibration& calibration) {
  std::string text = "format = \"" + std::string(kCalibrationFormat) +
                     "\"\nversion = " + std::to_string(kCalibrationVersion) + '\n';
  const auto add = [&](const char* name, const std::optional<Factor>& factor, const auto& written) {
    if (factor) text += std::string(name) + " = { " + values_of(*factor, written) + " }\n";
  };
  add("goodput", calibration.goodput, plain);
  add("unevenness", calibration.unevenness, plain);
  add("start_takes", calibration.start_takes, milliseconds);
  add("rules_take", calibration.rules_take, milliseconds);
  add("takeover", calibration.takeover, milliseconds);
  if (calibration.efficiency.empty()) return text;
  text += "efficiency = [\n";
  for (const Calibration::Eta& eta : calibration.efficiency)
    text += "  { peers = " + std::to_string(eta.peers) +
            ", pieces = " + std::to_string(eta.pieces) + ", " + values_of(eta.eta, plain) + " },\n";
  return text + "]\n";
}

// Leaves in the scenario what the calibration says; what is read later replaces it.
void read_calibration(const Table& file, Reading& reading) {
  Findings& findings = reading.findings;
  Scenario& scenario = reading.scenario;
  const Value document = parse_document(file.text, file.file, findings);
  Fields top(document, "", findings);
  std::string format;
  std::int64_t version = 0;
  top.text("format", format);
  top.read("version", version, parse_count, Range<std::int64_t>{0, 1'000});
  if (format != kCalibrationFormat || version != kCalibrationVersion)
    return findings.add({file.file, 0, 0},
                        "it is no calibration of this version: `lamina-sim calibrate` writes one");
  const auto factor = [&](const char* key, auto& mean, const auto& parse, const auto& range) {
    const Value* value = top.find(key);
    if (value == nullptr) return;
    Fields fields(*value, key, findings);
    read_factor(fields, mean, parse, range);
    fields.done();
  };
  factor("goodput", scenario.tcp.goodput, parse_real, Range<double>{0.1, 1});
  factor("unevenness", scenario.tcp.unevenness, parse_real, Range<double>{0, 0.9});
  factor("start_takes", scenario.rollout.start_takes, parse_period, Range<Duration>{0s, 1h});
  factor("rules_take", scenario.rollout.rules_take, parse_period, Range<Duration>{0s, 1h});
  factor("takeover", scenario.rollout.takeover, parse_period, Range<Duration>{0s, 24h});
  const Value::List& list = top.list("efficiency");
  for (std::size_t i = 0; i < list.size() && i < kKindsMax; ++i) {
    Fields fields(list[i], "efficiency " + std::to_string(i + 1), findings);
    read_efficiency_point(fields, scenario.swarm);
    read_factor(fields, scenario.swarm.efficiency.back().eta, parse_real, Range<double>{0.01, 1});
    fields.done();
  }
  order_efficiency(top, scenario.swarm);
  top.done();
}

}  // namespace lamina::sim
