#include "node/program.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "node/cmd_cache.hpp"
#include "node/cmd_run.hpp"
#include "node/net/control.hpp"
#include "node/net/enrol.hpp"
#include "node/net/node_metrics.hpp"
#include "node/support.hpp"
#include "node/worker/worker.hpp"
#include "shared/cli/command_line.hpp"
#include "shared/cli/table.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

// A first synchronization over a thin line takes hours.
constexpr Duration kSyncWithin = 24h;
constexpr Duration kStatusWithin = 10s;

struct CommandLine {
  std::string state = "/var/lib/lamina-node";
  bool as_json = false;
  bool dry_run = false;
  Enrolment enrolment;
  std::string token_file;
  RunOptions run;
  std::string to;
  std::string wan_max;
  std::string wan_transport = "auto";
  std::string sync_interval;
  std::string snooze_for;
  std::string relay_space;
  std::string cache_limit;
  std::string cache_patrol = "1min";
  std::string record_max;
  bool until_protected = false;
  CacheCommand cache;
};

Bytes bytes_in(const json& object, const char* key) { return {object.value(key, std::int64_t{0})}; }

Status enroll(CommandLine& line, std::ostream& out) {
  line.enrolment.state = line.state;
  if (!line.token_file.empty()) {
    auto text = os::read_text(line.token_file, 4096);
    if (!text) return fail(std::move(text.error()));
    line.enrolment.token = text->substr(0, text->find_first_of("\r\n"));
  }
  if (line.enrolment.token.empty())
    return fail(ErrorKind::invalid, "an enrolment token is needed: --token or --token-file");
  line.enrolment.dry_run = line.dry_run;
  auto config = enrol(line.enrolment);
  if (!config) return fail(std::move(config.error()));
  if (line.dry_run && line.as_json)
    out << json{{"volume", config->volume}, {"dry_run", true}}.dump() << '\n';
  else if (line.dry_run)
    out << "This computer would manage " << config->volume
        << ", if the origin takes the token. Nothing was changed, and the origin not asked.\n";
  else if (line.as_json)
    out << json{{"device", config->device.hex()}, {"volume", config->volume}}.dump() << '\n';
  else
    out << "This device is " << config->device.hex() << " and manages " << config->volume << ".\n"
        << "Next, as root:\n  lamina-node worker --state " << line.state
        << "\n  lamina-node run --state " << line.state << '\n';
  return Done{};
}

// Which part of the site's content the device fetches.
std::string part_text(const json& status) {
  const int shares = status.value("lease_shares", ShareSet::kCount);
  if (shares == ShareSet::kCount) return "for the site";
  return std::to_string(shares) + " of " + std::to_string(ShareSet::kCount) +
         " parts for the site, other reflectors the rest";
}

// "download 500 KB/s, upload nothing (waiting-for-rule), until 2026-11-23 18:00"
std::string line_text(const json& line) {
  std::string text;
  for (const char* direction : {"download", "upload"}) {
    if (!text.empty()) text += ", ";
    text += direction;
    if (!line.contains(direction)) {
      text += " without limit";
    } else if (const auto kb = line[direction].value("limit_kb", std::int64_t{0}); kb > 0) {
      text += ' ' + std::to_string(kb) + " KB/s";
    } else {
      text += " nothing (" + line[direction].value("reason", "") + ')';
    }
  }
  const std::string until = line.value("changes_at_local", "");
  return until.empty() ? text : text + ", until " + until;
}

// What the device does for its site, as an administrator settled it.
template <class Row>
void reflector_rows(const json& reflector, const Row& row) {
  const json& cache = reflector["cache"];
  row("for the site", reflector.value("mode", "") + ", " +
                          std::to_string(reflector.value("peers_served", 0)) + " peers served, " +
                          std::to_string(reflector.value("peers_waiting", 0)) + " waiting");
  std::string text = to_text(bytes_in(cache, "bytes")) + " of " +
                     to_text(bytes_in(cache, "limit_bytes")) + ", " +
                     to_text(bytes_in(cache, "kept_bytes")) + " kept for the site";
  if (bytes_in(cache, "over_bytes").count > 0)
    text += "; its own layers are " + to_text(bytes_in(cache, "over_bytes")) + " over the limit";
  row("cache", text);
}

void print_status(const json& status, std::ostream& out) {
  cli::Rows rows{{"device", status.value("device", "")}, {"origin", status.value("origin", "")}};
  const auto row = [&](const char* name, const std::string& value) {
    rows.push_back({name, printable(value, 200)});
  };
  row("volume", status.value("volume", ""));
  if (status.value("state", "") != "running") {
    row("state", status.value("state", ""));
    if (status.contains("problem")) row("problem", status.value("problem", ""));
    return cli::write_table(out, rows);
  }
  row("state", status.value("status", "") + (status.value("origin_reachable", false)
                                                 ? ", origin reachable"
                                                 : ", origin not reachable"));
  const auto age = [](const json& object, const char* key) {
    return to_text(std::chrono::seconds{object.value(key, std::int64_t{0})});
  };
  if (status.contains("line_down")) {
    row("line down",
        (status.contains("origin_heard_at") ? "since " + status.value("origin_heard_at", "") +
                                                  " (" + age(status, "origin_silent_seconds") + ")"
                                            : "the origin was never reached"));
    row("", status.value("line_down", ""));
  }
  if (status.contains("waiting"))
    rows.push_back({"waits", printable(status.value("waiting", ""), 1000)});
  if (status.contains("site")) {
    const json& site = status["site"];
    row("site", site.value("name", "") + ", " + std::to_string(site.value("members", 0)) +
                    " devices by a list " + age(site, "list_age_seconds") + " old");
  }
  if (status.contains("clock_trouble")) row("clock", status.value("clock_trouble", ""));
  row("target",
      std::to_string(status.value("target_sequence", std::uint64_t{0})) +
          (status.contains("target_age_seconds") ? ", " + age(status, "target_age_seconds") + " old"
                                                 : ""));
  row("applied", std::to_string(status.value("applied_sequence", std::uint64_t{0})));
  if (status.contains("restart_due")) {
    std::string layers;
    for (const json& layer : status["restart_due"])
      layers += (layers.empty() ? "" : ", ") + printable(layer.get<std::string>(), 300);
    row("restart", status.value("waits_for_restart", false)
                       ? "the target waits for it, because of " + layers
                       : "due, because of " + layers);
  }
  row("peers", std::to_string(status.value("peers", 0)) +
                   (status.value("holds_lease", false) ? ", fetches " + part_text(status) : ""));
  if (status.contains("bytes"))
    row("received", to_text(bytes_in(status["bytes"], "from_lan")) + " from the site, " +
                        to_text(bytes_in(status["bytes"], "from_origin")) +
                        " from the origin's seeders, " +
                        to_text(bytes_in(status["bytes"], "from_origin_https")) + " from its API");
  row("line", line_text(status.value("line", json::object())));
  if (status.contains("reflector")) reflector_rows(status["reflector"], row);
  row("snapshot", status.value("snapshot", "none yet").substr(0, 16) +
                      (status.value("synchronizing", false) ? " (synchronizing)" : ""));
  if (status.contains("uploads_wait"))
    rows.push_back({"uploads wait", printable(status.value("uploads_wait", ""), 1000)});
  if (status.contains("policy")) {
    const json& policy = status["policy"];
    const auto version = policy.value("version", std::uint64_t{0});
    row("policy", policy.value("name", "") + (version > 0 ? " " + std::to_string(version) : "") +
                      ", a snapshot every " + age(status, "sync_interval_seconds"));
    if (policy.contains("problem")) row("", policy.value("problem", ""));
  }
  if (status.contains("snoozed_until"))
    row("snoozed",
        "until " + status.value("snoozed_until", "") + "; `lamina-node snooze off` ends it");
  if (status.contains("at_site"))
    row("at the site", status["at_site"].value("snapshot", "").substr(0, 16) + ", device " +
                           status["at_site"].value("relay", "").substr(0, 8) + " passes it on");
  if (status.contains("relay") && bytes_in(status["relay"], "bytes").count > 0)
    row("relays", std::to_string(status["relay"].value("snapshots", 0)) + " snapshots, " +
                      to_text(bytes_in(status["relay"], "bytes")) + " to pass on");
  for (const json& layer : status.value("layers", json::array()))
    row("layer", layer.value("layer", "").substr(0, 8) + ' ' + layer.value("name", "") + ' ' +
                     layer.value("reason", "") + ", " + to_text(bytes_in(layer, "missing_bytes")) +
                     " missing");
  cli::write_table(out, rows);
}

Status status(const CommandLine& line, std::ostream& out) {
  auto answer = ask_service(StateDirectory(line.state), {.what = "status"}, kStatusWithin);
  if (!answer) return fail(std::move(answer.error()));
  if (line.as_json)
    out << *answer << '\n';
  else
    print_status(json::parse(*answer), out);
  return Done{};
}

// A device that does not answer has figures too: that it is down. The failure says why.
Status print_metrics(const CommandLine& line, std::ostream& out) {
  auto answer = ask_service(StateDirectory(line.state), {.what = "metrics"}, kStatusWithin);
  const std::string text =
      answer ? json::parse(*answer).value("text", "") : metrics_text_of_stopped();
  if (line.to.empty())
    out << text;
  else if (auto done = os::write_file(line.to, as_view(text)); !done)
    return done;
  if (!answer) return fail(std::move(answer.error()));
  return Done{};
}

Status make_support_bundle(const CommandLine& line, std::ostream& out) {
  auto done = write_support_bundle(StateDirectory(line.state), line.to, os::system_clock().wall());
  if (!done) return done;
  if (line.as_json) out << json{{"support_bundle", {{"file", line.to}}}}.dump() << '\n';
  return Done{};
}

Status sync(const CommandLine& line, std::ostream& out) {
  auto answer = ask_service(
      StateDirectory(line.state),
      {.what = line.until_protected ? "sync-protected" : "sync", .dry_run = line.dry_run},
      kSyncWithin);
  if (!answer) return fail(std::move(answer.error()));
  const json done = json::parse(*answer);
  if (line.as_json)
    out << *answer << '\n';
  else if (line.dry_run)
    out << "A snapshot would be made now. Nothing was changed.\n";
  else
    out << "Snapshot " << done.value("snapshot", "") << ": " << done.value("files_read", 0)
        << " files read, " << done.value("files_reused", 0) << " unchanged, "
        << to_text(bytes_in(done, "bytes_sent") + bytes_in(done, "bytes_handed")) << " sent. It is "
        << (done.value("state", "") == "protected"
                ? "protected: the origin has it.\n"
                : "at the site: device " + done.value("relay", "").substr(0, 8) +
                      " passes it on to the origin.\n");
  return Done{};
}

Status revert(const CommandLine& line, std::ostream& out) {
  auto answer = ask_service(StateDirectory(line.state), {.what = "revert", .dry_run = line.dry_run},
                            kSyncWithin);
  if (!answer) return fail(std::move(answer.error()));
  const json done = json::parse(*answer);
  if (line.as_json)
    out << *answer << '\n';
  else if (line.dry_run)
    out << "The last apply would be undone"
        << (done.value("waits_for_restart", false) ? " at the next start of this device" : "")
        << ": " << done.value("applied", json::array()).size()
        << " layers would be applied then. Nothing was changed.\n";
  else if (done.value("waits_for_restart", false))
    out << "The last apply is undone at the next start of this device: restart it.\n";
  else
    out << "The last apply is undone; " << done.value("applied", json::array()).size()
        << " layers are applied. A newer target is applied again.\n";
  return Done{};
}

Status snooze(const CommandLine& line, std::ostream& out) {
  auto duration =
      line.snooze_for == "off" ? Result<Duration>(Duration{}) : parse_duration(line.snooze_for);
  if (!duration) return fail(std::move(duration.error()).in("for how long"));
  auto answer = ask_service(StateDirectory(line.state),
                            {.what = "snooze", .dry_run = line.dry_run, .duration = *duration},
                            kStatusWithin);
  if (!answer) return fail(std::move(answer.error()));
  if (line.as_json)
    out << *answer << '\n';
  else if (line.dry_run)
    out << "It would be so. Nothing was changed.\n";
  else if (*duration == Duration{})
    out << "Snapshots are made by themselves again.\n";
  else
    out << "No snapshot is made by itself for " << to_text(*duration)
        << ". What administrators apply or restore goes on.\n";
  return Done{};
}

Status run(CommandLine& line) {
  if (!line.wan_max.empty()) {
    auto rate = parse_bit_rate(line.wan_max);
    if (!rate) return fail(std::move(rate.error()).in("--wan-max"));
    line.run.wan_receive_max = *rate;
  }
  if (line.wan_transport == "swarm") line.run.wan_transport = policy::WanTransport::Kind::swarm;
  if (line.wan_transport == "https") line.run.wan_transport = policy::WanTransport::Kind::https;
  if (!line.relay_space.empty()) {
    auto space = parse_bytes(line.relay_space);
    if (!space) return fail(std::move(space.error()).in("--relay-space"));
    line.run.relay_space = *space;
  }
  if (!line.record_max.empty()) {
    auto most = parse_bytes(line.record_max);
    if (!most) return fail(std::move(most.error()).in("--record-max"));
    line.run.record_max = *most;
  }
  if (line.cache_patrol == "off") {
    line.run.patrol_every.reset();
  } else {
    auto every = parse_duration(line.cache_patrol);
    if (!every || *every < std::chrono::seconds{1})
      return fail(ErrorKind::invalid,
                  "--cache-patrol takes 'off' or at least a second, as in '1 min'");
    line.run.patrol_every = *every;
  }
  if (!line.cache_limit.empty()) {
    auto limit = parse_bytes(line.cache_limit);
    if (!limit) return fail(std::move(limit.error()).in("--cache"));
    line.run.cache_limit = *limit;
  }
  if (!line.sync_interval.empty()) {
    auto interval = parse_duration(line.sync_interval);
    if (!interval) return fail(std::move(interval.error()).in("--sync-interval"));
    if (*interval < 1min) return fail(ErrorKind::invalid, "--sync-interval: at least one minute");
    line.run.sync_interval = *interval;
  }
  return run_network(StateDirectory(line.state), line.run);
}

// Writes to `line` what is parsed.
void add_commands(CLI::App& app, CommandLine& line) {
  app.footer(std::string(cli::exit_code_help()) +
             "\nExample: lamina-node enroll --origin origin.example:8443 --ca-fingerprint HEX \\\n"
             "           --token SECRET --volume / --user lamina");
  app.set_version_flag("--version", LAMINA_VERSION);
  app.require_subcommand(1);
  const auto command = [&](const char* name, const char* what, const char* example) {
    auto* added = app.add_subcommand(name, what);
    added->footer(std::string("Example: lamina-node ") + example);
    added->add_option("--state", line.state, "the node's state directory")->capture_default_str();
    return added;
  };
  auto* enroll_command = command("enroll", "make this computer a device of the fleet (as root)",
                                 "enroll --origin origin.example:8443 --ca-fingerprint HEX "
                                 "--token SECRET --volume / --user lamina");
  auto* run_command = command("run", "the network process: layers down, changes up",
                              "run --state /var/lib/lamina-node --swarm-listen 192.0.2.20:8444");
  command("worker", "the worker: applies and scans (as root, no network)",
          "worker --state /var/lib/lamina-node");
  auto* status_command = command("status", "what the device is doing", "status --json");
  auto* metrics_command = command("metrics", "the device's figures as text for Prometheus",
                                  "metrics --to /var/lib/node_exporter/lamina.prom");
  metrics_command->add_option("--to", line.to,
                              "a file that is replaced in one step, instead of stdout");
  auto* support_command =
      command("support-bundle", "one file for whoever helps from afar, without any secret",
              "support-bundle --to /tmp/device.tar");
  support_command->add_option("--to", line.to, "the tar file to make")->required();
  auto* sync_command = command("sync", "make a snapshot now and wait for it", "sync --protected");
  sync_command->add_flag(
      "--protected", line.until_protected,
      "wait until the origin has it, also when a device of the site passes it on");
  auto* revert_command = command("revert", "undo the last apply", "revert");
  auto* snooze_command =
      command("snooze", "make no snapshot by itself for a while, at most a day", "snooze 2h");
  snooze_command
      ->add_option("FOR", line.snooze_for,
                   "for how long from now, for example '90 min'; off: as always again")
      ->required();
  auto* cache_command =
      app.add_subcommand("cache", "layers to and from a disk, for a site behind a very thin line");
  cache_command->require_subcommand(1);
  auto* export_command = cache_command->add_subcommand(
      "export", "write a layer that is whole in the cache to a directory");
  export_command->footer("Example: lamina-node cache export --layer debian:12.11 --to /media/disk");
  export_command->add_option("--layer", line.cache.layer, "NAME:VERSION or the layer's id")
      ->required();
  export_command->add_option("--to", line.cache.directory, "made if it is missing; may hold others")
      ->required();
  auto* import_command = cache_command->add_subcommand(
      "import", "verify the layers in a directory and take them into the cache");
  import_command->footer(
      "What is foreign or damaged is named and left out (exit code 6); what is here already is "
      "not\n"
      "copied. A running node shares it at once.\n"
      "Example: lamina-node cache import --from /media/disk");
  import_command->add_option("--from", line.cache.directory, "what an export wrote")->required();
  for (CLI::App* transfer : {export_command, import_command}) {
    transfer->add_option("--state", line.state, "the node's state directory")
        ->capture_default_str();
    transfer->add_flag("--json", line.cache.as_json, "print JSON records");
  }
  for (CLI::App* json_command : {enroll_command, status_command, support_command, sync_command,
                                 revert_command, snooze_command})
    json_command->add_flag("--json", line.as_json, "print a JSON record");
  for (CLI::App* changing :
       {enroll_command, sync_command, revert_command, snooze_command, import_command})
    changing->add_flag("--dry-run", line.dry_run, "change nothing, say what would be done");

  Enrolment& enrolment = line.enrolment;
  enroll_command->add_option("--origin", enrolment.origin, "HOST:PORT of the origin")->required();
  enroll_command
      ->add_option("--ca-fingerprint", enrolment.ca_fingerprint,
                   "SHA-256 of the origin's CA, as `lamina-origin init` printed it")
      ->required();
  enroll_command->add_option("--token", enrolment.token, "the enrolment token");
  enroll_command->add_option("--token-file", line.token_file,
                             "a file with the token, which then stands in no process list");
  enroll_command
      ->add_option("--volume", enrolment.volume, "the directory to manage, as absolute path")
      ->required();
  enroll_command->add_option("--hardware-uuid", enrolment.hardware_uuid,
                             "instead of the firmware's (SMBIOS) UUID");
  enroll_command->add_option("--user", enrolment.user, "the user of the network process");
  run_command->add_option("--user", line.run.user, "instead of the user of the enrolment");
  run_command
      ->add_option("--swarm-listen", line.run.swarm_listen,
                   "ADDRESS:PORT where the devices of the site reach this one")
      ->capture_default_str();
  run_command->add_option("--wan-max", line.wan_max,
                          "most that is fetched from the origin, for example '8 Mbit/s'");
  run_command
      ->add_option("--wan-transport", line.wan_transport,
                   "how packs come from the origin: from its seeders (swarm), as ranges over the "
                   "API's port (https), or as ranges while no seeder can be reached (auto)")
      ->check(CLI::IsMember({"auto", "swarm", "https"}))
      ->capture_default_str();
  run_command->add_flag_callback(
      "--no-serve", [&line] { line.run.serves = false; },
      "let the other devices fetch for the site, if there is one that can");
  run_command->add_flag("--metered", line.run.metered,
                        "the link costs by the byte: no snapshots, no uploads for others, and the "
                        "other devices fetch for the site, if there is one that can");
  run_command->add_option(
      "--relay-listen", line.run.relay_listen,
      "ADDRESS:PORT where devices of the site hand their uploads over (default: "
      "beside the swarm's port), or 'off'");
  run_command->add_option(
      "--beacon-port", line.run.beacon_port,
      "UDP port on which the devices of a site find each other without the origin, the same on all "
      "of them, or off; without it the swarm's port and 2");
  run_command->add_option("--relay-space", line.relay_space,
                          "most that is held for them (default: 8 GiB), for example '2 GiB'");
  run_command
      ->add_option("--hardware-from", line.run.sys,
                   "where sysfs is: what the machine is made of is told the origin, for driver "
                   "layers")
      ->capture_default_str();
  run_command->add_option("--record", line.run.record,
                          "write down what is decided about the line and the device's fitness, for "
                          "`lamina-origin replay`");
  run_command->add_option("--record-max", line.record_max,
                          "end the record at this size (default: 64 MiB)");
  run_command->add_option("--cache", line.cache_limit,
                          "most that the cache of layers takes, beyond what the device needs for "
                          "itself (default: a fifth of the disk), for example '20 GiB'");
  run_command
      ->add_option("--cache-patrol", line.cache_patrol,
                   "how often one pack of the cache is read back to see whether the disk still has "
                   "it, or 'off'")
      ->capture_default_str();
  run_command->add_option("--sync-interval", line.sync_interval,
                          "between two snapshots (default: 60 min), for example '15 min'");
}

// A command line with its own commands.
struct Commands {
  CLI::App app{"lamina-node: a device of the fleet", "lamina-node"};
  CommandLine line;
  Commands() { add_commands(app, line); }
};

Status carry_out(const CLI::App& app, CommandLine& line, std::ostream& out) {
  const StateDirectory state(line.state);
  const CLI::App* command = app.get_subcommands().front();
  const std::string& name = command->get_name();
  if (name == "enroll") return enroll(line, out);
  if (name == "run") return run(line);
  if (name == "worker") return run_worker(state);
  if (name == "status") return status(line, out);
  if (name == "metrics") return print_metrics(line, out);
  if (name == "support-bundle") return make_support_bundle(line, out);
  if (name == "sync") return sync(line, out);
  if (name == "revert") return revert(line, out);
  if (name == "snooze") return snooze(line, out);
  line.cache.dry_run = line.dry_run;
  return command->got_subcommand("export") ? export_cache(state, line.cache, out)
                                           : import_cache(state, line.cache, out);
}

}  // namespace

std::shared_ptr<CLI::App> command_tree() {
  auto commands = std::make_shared<Commands>();
  return {commands, &commands->app};
}

int run_node(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Commands commands;
  if (const auto code = cli::parse(commands.app, argc, argv, out, err)) return *code;
  return cli::ended(commands.app, carry_out(commands.app, commands.line, out), err);
}

}  // namespace lamina::node
