#include "origin/cli/rollout_file.hpp"
#include "origin/cli/session.hpp"

namespace lamina::origin::cli {
namespace {

std::string share(std::int64_t have, std::int64_t all) {
  return std::to_string(have) + '/' + std::to_string(all);
}

Status create(Session& s, const std::string& file) {
  auto plan = read_rollout_file(file);
  if (!plan) return fail(std::move(plan.error()));
  auto body = s.call("POST", "/v1/rollouts", wire::to_json(*plan));
  if (!body) return fail(std::move(body.error()).in(file));
  s.tell(*body,
         "rollout " + plan->name + " made; `lamina rollout start " + plan->name + "` starts it");
  return Done{};
}

Status command(Session& s, const std::string& name, const std::string& verb) {
  auto body = s.call("POST", "/v1/rollouts/" + encoded(name) + '/' + verb, "{}");
  if (!body) return fail(std::move(body.error()));
  auto rollout = wire::parse_rollout_info(*body);
  if (!rollout) return fail(std::move(rollout.error()));
  s.tell(*body, "rollout " + name + " is " + rollout->phase +
                    (s.dry_run ? "" : ": " + printable(rollout->text, 1000)));
  return Done{};
}

Status list(Session& s) {
  auto body = s.get("/v1/rollouts");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_rollout_list(*body);
  if (!list) return fail(std::move(list.error()));
  Session::Rows rows{{"ROLLOUT", "STATE", "WAVE", "SUCCEEDED", "FAILED", "WAITS FOR"}};
  for (const wire::RolloutInfo& rollout : list->rollouts) {
    if (s.json) *s.out << wire::to_json(rollout) << '\n';
    std::int64_t devices = 0, succeeded = 0, failed = 0;
    for (const wire::RolloutWaveState& wave : rollout.waves) {
      devices += wave.devices;
      succeeded += wave.succeeded;
      failed += wave.failed;
    }
    rows.push_back({rollout.plan.name, rollout.phase,
                    share(rollout.current + 1, static_cast<std::int64_t>(rollout.waves.size())),
                    share(succeeded, devices), std::to_string(failed), rollout.waits_for});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

std::string sites_text(const std::vector<std::string>& sites) {
  std::string text;
  for (const std::string& site : sites) text += (text.empty() ? "" : ", ") + site;
  return text;
}

Status show(Session& s, const std::string& name) {
  auto body = s.get("/v1/rollouts/" + encoded(name));
  if (!body) return fail(std::move(body.error()));
  if (s.json) {
    *s.out << *body << '\n';
    return Done{};
  }
  auto detail = wire::parse_rollout_detail(*body);
  if (!detail) return fail(std::move(detail.error()));
  const wire::RolloutInfo& rollout = detail->rollout;
  *s.out << "rollout " << rollout.plan.name << ": " << rollout.phase << ", "
         << printable(rollout.text, 1000) << '\n';
  *s.out << "layers " << sites_text(rollout.plan.layers) << "; WAN budget "
         << rollout.plan.wan_budget.value_or("never") << "\n\n";
  Session::Rows waves{
      {"WAVE", "NAME", "STEP", "DEVICES", "SUCCEEDED", "FAILED", "WARM SITES", "GATES"}};
  for (std::size_t i = 0; i < rollout.waves.size() && i < rollout.plan.waves.size(); ++i) {
    const wire::RolloutWave& plan = rollout.plan.waves[i];
    const wire::RolloutWaveState& wave = rollout.waves[i];
    std::string gates;
    if (plan.warm_percent > 0) gates += "warm " + std::to_string(plan.warm_percent) + " %, ";
    gates += "success " + std::to_string(plan.success_percent) + " %, failure " +
             std::to_string(plan.failure_percent) + " %";
    if (plan.soak_ms > 0) gates += ", soak " + to_text(std::chrono::milliseconds{plan.soak_ms});
    waves.push_back({std::to_string(i + 1), printable(plan.name, 60), wave.step,
                     std::to_string(wave.devices), std::to_string(wave.succeeded),
                     std::to_string(wave.failed), share(wave.warm_sites, wave.sites), gates});
  }
  s.table(waves);
  *s.out << "\nfetching over their lines (at most " << rollout.plan.sites_at_once
         << "): " << (rollout.admitted.empty() ? "none" : sites_text(rollout.admitted)) << '\n';
  if (rollout.sites_waiting > 0)
    *s.out << "waiting for admission: " << rollout.sites_waiting << ", next "
           << sites_text(rollout.next_sites) << '\n';
  if (detail->devices.empty()) return Done{};
  *s.out << '\n';
  Session::Rows devices{{"DEVICE", "SITE", "WAVE", "OUTCOME", "HOLDS", ""}};
  for (const wire::RolloutDevice& device : detail->devices)
    devices.push_back({device.device.hex(), device.site, std::to_string(device.wave + 1),
                       device.outcome, device.holds ? "yes" : "no", printable(device.text, 200)});
  s.table(devices);
  return Done{};
}

}  // namespace

void add_rollout(CLI::App& app, Run& run) {
  auto* rollout = app.add_subcommand("rollout", "layers that reach devices in waves");
  rollout->require_subcommand(1);
  rollout->footer("Example: lamina rollout create --file rollout.toml");
  auto file = std::make_shared<std::string>(), name = std::make_shared<std::string>();

  auto* make = rollout->add_subcommand("create", "make a rollout from a plan; it does not start");
  make->footer(
      "The plan, in TOML:\n"
      "  name = \"debian-12.11\"\n"
      "  layers = [\"debian:12.11\", \"office:3\"]   # the whole stack, base first\n"
      "  wan_budget = \"never\"                     # as in `lamina assign`\n"
      "  sites_at_once = 10                        # that fetch it over their lines\n"
      "  [[wave]]\n"
      "  name = \"pilot\"\n"
      "  sites = [\"lab\"]                          # and/or devices = [\"32 hex digits\"],\n"
      "  shares = [{ site = \"north\", percent = 10 }]\n"
      "  success = 90    # % of its devices that must have applied it; default 90\n"
      "  failure = 5     # % that may fail, else the rollout stops; default 5\n"
      "  soak = \"2 h\"    # for how long the success must last; default 0\n"
      "  [[wave]]\n"
      "  sites = [\"north\", \"south\"]\n"
      "  warm = 80       # % of its sites that must hold the layers before it begins; default 0\n"
      "Example: lamina rollout create --file rollout.toml");
  make->add_option("--file", *file, "the plan")->required();
  make->callback([&run, file] { run = [file](Session& s) { return create(s, *file); }; });

  add_rollout_plan(*rollout, run);

  const auto add_verb = [&](const std::string& verb, const char* what) {
    auto* change = rollout->add_subcommand(verb, what);
    change->footer("Example: lamina rollout " + verb + " debian-12.11");
    change->add_option("name", *name, "the rollout")->required();
    change->callback(
        [&run, name, verb] { run = [name, verb](Session& s) { return command(s, *name, verb); }; });
  };
  add_verb("start", "begin its first wave");
  add_verb("pause", "begin no further wave; devices that have their target go on");
  add_verb("resume", "go on after a pause");
  add_verb("stop", "begin no further wave, for good; nothing is undone");

  auto* ls = rollout->add_subcommand("ls", "list the rollouts and what they wait for");
  ls->footer("Example: lamina rollout ls");
  ls->callback([&run] { run = [](Session& s) { return list(s); }; });
  auto* one = rollout->add_subcommand("show", "waves, gates, sites that fetch, and every device");
  one->footer("Example: lamina rollout show debian-12.11");
  one->add_option("name", *name, "the rollout")->required();
  one->callback([&run, name] { run = [name](Session& s) { return show(s, *name); }; });
}

}  // namespace lamina::origin::cli
