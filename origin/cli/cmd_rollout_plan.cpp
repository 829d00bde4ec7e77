#include <algorithm>
#include <thread>

#include "origin/cli/rollout_file.hpp"
#include "origin/cli/session.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/file.hpp"
#include "shared/os/local_time.hpp"
#include "sim/import/options.hpp"
#include "sim/model/run.hpp"
#include "sim/report/result_json.hpp"
#include "sim/report/tables.hpp"
#include "sim/scenario/load.hpp"

namespace lamina::origin::cli {
namespace {

constexpr std::size_t kSitesShown = 20;

struct PlanOptions {
  std::string name, file, site, device, layers;  // One of the first four; layers for the last two.
  sim::ImportTexts texts;
};

Result<wire::RolloutRequest> wanted(const PlanOptions& options, const sim::Get& get) {
  if (!options.name.empty()) return sim::planned_rollout(get, options.name);
  if (!options.file.empty()) return read_rollout_file(options.file);
  wire::AssignmentRequest request{
      .site = options.site, .devices = {}, .layers = split(options.layers)};
  if (!options.device.empty()) {
    auto id = DeviceId::parse(options.device);
    if (!id) return fail(std::move(id.error()).in("--device"));
    request.devices.push_back(*id);
  }
  return sim::rollout_of(request);
}

// The scenario as `lamina-sim import` would write it, read as `lamina-sim run` would.
Result<sim::Scenario> scenario_of(const sim::ScenarioFiles& files) {
  const auto read = [&](const std::string& name) -> Result<std::string> {
    if (name == "sites.csv") return files.sites;
    if (name == "devices.csv") return files.devices;
    return files.bandwidth;
  };
  auto scenario = sim::load_scenario("scenario.toml", files.scenario, read);
  if (!scenario)
    return fail(ErrorKind::invalid,
                "no scenario comes of what the origin says: " + scenario.error().text());
  return std::move(*scenario);
}

void print(const sim::Scenario& scenario, const sim::RunResult& result, Session& s) {
  *s.out << "Assumed, because the origin does not know:\n";
  for (const std::string& one : scenario.assumptions) *s.out << "- " << one << '\n';
  *s.out << '\n';
  s.table(sim::wave_rows(result));
  *s.out << '\n';
  s.table(sim::site_rows(scenario, result, kSitesShown));
  if (scenario.sites.size() > kSitesShown)
    *s.out << "and " << scenario.sites.size() - kSitesShown << " more sites: --json has all\n";
  *s.out << "\nFrom the origin " << to_text(result.totals.origin) << ", at most "
         << to_text(result.totals.peak) << " over an hour. Times of a wave count from its begin, "
         << "those of sites from the start; nothing was sent to any device.\n";
}

Status plan(Session& s, const PlanOptions& options) {
  const WallTime now = os::system_clock().wall();
  auto given = sim::parse_import_options(options.texts, now, os::utc_offset(now));
  if (!given) return fail(std::move(given.error()));
  const sim::Get get = [&](const std::string& path) { return s.get(path); };
  auto rollout = wanted(options, get);
  if (!rollout) return fail(std::move(rollout.error()));
  auto inventory = sim::collect(get, rollout->layers);
  if (!inventory) return fail(std::move(inventory.error()));
  auto files = sim::scenario_files(*inventory, *rollout, *given);
  if (!files) return fail(std::move(files.error()));
  auto scenario = scenario_of(*files);
  if (!scenario) return fail(std::move(scenario.error()));

  const int threads = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 64U));
  const auto progress = [&](double share) {
    s.progress("computing: " + std::to_string(static_cast<int>(100 * share)) + " %");
  };
  const sim::RunResult result =
      sim::run(*scenario, {.threads = threads, .with_direct = false, .progress = progress});
  s.progress("");
  if (s.json)
    sim::write_result_json(*s.out, *scenario, result);
  else
    print(*scenario, result, s);
  return Done{};
}

}  // namespace

void add_rollout_plan(CLI::App& rollout, Run& run) {
  auto options = std::make_shared<PlanOptions>();
  auto* command = rollout.add_subcommand(
      "plan", "say what a rollout or an assignment would send and when it would be done");
  command->footer(
      "Nothing is assigned and nothing is sent: the origin is asked what devices there are, what\n"
      "they lack and how fast their lines were, and the simulator runs it. What the origin does "
      "not\n"
      "know is assumed and said. `lamina-sim import` writes the same as files, to be changed and\n"
      "asked more. --json prints a result for `lamina-sim compare` (docs/simulation.md).\n"
      "Example: lamina rollout plan --file rollout.toml\n"
      "         lamina rollout plan --site north --layers debian:1.0,office:3 --line 20Mbit");
  auto* of = command->add_option_group("of")->require_option(1);
  of->add_option("name", options->name, "a rollout that was made");
  of->add_option("--file", options->file, "a rollout's plan, as for `rollout create`");
  auto* site = of->add_option("--site", options->site, "an assignment to this site");
  auto* device = of->add_option("--device", options->device, "an assignment to this device");
  auto* layers = command->add_option("--layers", options->layers,
                                     "of the assignment: NAME:VERSION,..., base first");
  site->needs(layers), device->needs(layers);
  sim::add_import_options(*command, options->texts);
  command->callback([&run, options] { run = [options](Session& s) { return plan(s, *options); }; });
}

}  // namespace lamina::origin::cli
