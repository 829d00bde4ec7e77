#include "shared/base/csv.hpp"
#include "shared/net/origin_access.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/local_time.hpp"
#include "sim/cli/commands.hpp"
#include "sim/cli/files.hpp"

namespace lamina::sim {
namespace {

Result<std::vector<std::string>> layers_of(const std::string& list) {
  const auto fields = split_csv_line(list);
  if (!fields) return fail(ErrorKind::invalid, "--layers: " + fields.error().text);
  std::vector<std::string> layers;
  for (const CsvField& field : *fields) layers.push_back(field.text);
  return layers;
}

Result<wire::RolloutRequest> plan_of(const ImportCommand& options, const Get& get) {
  if (!options.rollout.empty()) return planned_rollout(get, options.rollout);
  auto layers = layers_of(options.layers);
  if (!layers) return fail(std::move(layers.error()));
  return rollout_of({.site = options.site, .devices = {}, .layers = std::move(*layers)});
}

Result<ScenarioFiles> files_of(const ImportCommand& options) {
  const WallTime now = os::system_clock().wall();
  auto given = parse_import_options(options.texts, now, os::utc_offset(now));
  if (!given) return fail(std::move(given.error()));
  auto client = net::connect_to(options.access);
  if (!client) return fail(std::move(client.error()));
  const Get get = [&](const std::string& path) { return net::get(**client, path); };
  auto plan = plan_of(options, get);
  if (!plan) return fail(std::move(plan.error()));
  auto inventory = collect(get, plan->layers);
  if (!inventory) return fail(std::move(inventory.error()));
  return scenario_files(*inventory, *plan, *given);
}

}  // namespace

cli::ExitCode run_import(const ImportCommand& options, Io& io) {
  const auto files = files_of(options);
  if (!files) return report(files.error(), io);
  NamedTexts texts{{"scenario.toml", files->scenario},
                   {"sites.csv", files->sites},
                   {"devices.csv", files->devices}};
  if (!files->bandwidth.empty()) texts.emplace_back("bandwidth.csv", files->bandwidth);
  if (const Status written = write_new_files(options.directory, texts); !written)
    return report(written.error(), io);
  print_made("A scenario", options.directory, options.as_json, io);
  return cli::ok;
}

}  // namespace lamina::sim
