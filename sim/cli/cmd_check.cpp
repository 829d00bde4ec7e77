#include <nlohmann/json.hpp>

#include "shared/cli/table.hpp"
#include "sim/cli/commands.hpp"
#include "sim/cli/files.hpp"
#include "sim/scenario/quantities.hpp"

namespace lamina::sim {
namespace {

using nlohmann::json;

json record_of(const Findings& findings) {
  json list = json::array();
  for (const Finding& finding : findings.list())
    list.push_back({{"file", finding.place.file},
                    {"line", finding.place.line},
                    {"column", finding.place.column},
                    {"text", finding.text}});
  return {{"good", false}, {"findings", std::move(list)}, {"left_out", findings.left_out()}};
}

json record_of(const Scenario& scenario) {
  return {{"good", true},
          {"name", scenario.name},
          {"input_hash", scenario.input_hash},
          {"sites", scenario.sites.size()},
          {"devices", devices_of(scenario)},
          {"waves", scenario.rollout.waves.size()},
          {"duration_s", scenario.run.duration / std::chrono::seconds(1)},
          {"replicas", scenario.run.replicas}};
}

void print(const Scenario& scenario, std::ostream& out) {
  Bytes content;
  for (const Part& part : scenario.content.parts) content += part.bytes;
  cli::Rows rows{
      {"name", scenario.name},
      {"sites", std::to_string(scenario.sites.size())},
      {"devices", std::to_string(devices_of(scenario))},
      {"waves", std::to_string(scenario.rollout.waves.size())},
      {"mode", std::string(name_of(scenario.rollout.mode))},
      {"content", to_text(content) + " in " + std::to_string(scenario.content.parts.size()) +
                      " parts, from " + std::to_string(scenario.content.versions.size()) +
                      " versions"},
      {"rules", std::to_string(scenario.rules.size())},
      {"run", to_text(scenario.run.duration) + ", " + std::to_string(scenario.run.replicas) +
                  " replicas from seed " + std::to_string(scenario.run.seed)},
      {"input", scenario.input_hash.substr(0, 16)}};
  for (const std::string& one : scenario.assumptions) rows.push_back({"assumed", one});
  cli::write_table(out, rows);
}

}  // namespace

cli::ExitCode run_check(const CheckOptions& options, Io& io) {
  const auto scenario = load_scenario_file(options.scenario);
  if (options.as_json)
    io.out << (scenario ? record_of(*scenario) : record_of(scenario.error())).dump() << '\n';
  if (!scenario) return options.as_json ? cli::usage : report(scenario.error(), io);
  if (!options.as_json) print(*scenario, io.out);
  return cli::ok;
}

}  // namespace lamina::sim
