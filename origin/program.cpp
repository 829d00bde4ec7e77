#include "origin/program.hpp"

#include <CLI/CLI.hpp>
#include <csignal>
#include <nlohmann/json.hpp>

#include "origin/api/listener.hpp"
#include "origin/backup/backup.hpp"
#include "origin/backup/restore.hpp"
#include "origin/capacity.hpp"
#include "origin/catalog/journaled_table.hpp"
#include "origin/check.hpp"
#include "origin/cli/session.hpp"
#include "origin/data_directory.hpp"
#include "origin/erasure.hpp"
#include "origin/garbage.hpp"
#include "origin/integrity.hpp"
#include "origin/rebuild.hpp"
#include "origin/repair.hpp"
#include "origin/replay.hpp"
#include "origin/scrub.hpp"
#include "origin/seeding/seeding.hpp"
#include "origin/support.hpp"
#include "shared/base/log.hpp"
#include "shared/cli/command_line.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/line_file.hpp"
#include "shared/os/user.hpp"

namespace lamina::origin {
namespace {

// Each takes about 30 KiB. What is left of the process's files is for packs, spools and databases.
constexpr std::uint64_t kConnectionsMax = 25'000;
constexpr std::uint64_t kFilesBeside = 50;

// "ADDRESS:PORT", "[IPV6]:PORT", or "" for all addresses and `port`.
Result<net::HostPort> parse_listen(const std::string& text, std::uint16_t port) {
  if (text.empty()) return net::HostPort{"0.0.0.0", port};
  auto place = net::parse_listen_address(text);
  if (!place) return fail(std::move(place.error()).in("--listen"));
  return place;
}

Status run_init(const DataDirectory& data, const OriginConfig& config, bool as_json,
                std::ostream& out) {
  auto made = initialize(data, config, os::system_clock().wall());
  if (!made) return fail(std::move(made.error()));
  if (as_json) {
    out << nlohmann::json{{"init",
                           {{"directory", data.root()},
                            {"ca_fingerprint", made->ca_fingerprint},
                            {"ca", data.key("api-ca.pem")},
                            {"token_file", made->token_path},
                            {"publisher_key", made->publisher_key_path}}}}
               .dump()
        << '\n';
    return Done{};
  }
  out << "The origin's data directory is " << data.root() << ".\n"
      << "CA fingerprint   " << made->ca_fingerprint << "\n"
      << "administrator    " << made->token_path << "\n"
      << "publisher's key  " << made->publisher_key_path << "\n\n"
      << "Next:\n"
      << "  lamina-origin serve --data " << data.root() << "\n"
      << "  lamina-origin seed --data " << data.root() << "\n"
      << "  lamina --origin " << config.names.front() << ':' << config.api_port << " --ca "
      << data.key("api-ca.pem") << " --token-file " << made->token_path << " site add NAME\n";
  if (config.seeders().empty())
    out << "\nNo name is an IP address: reflectors will not find the seeder. Give one with --name "
           "HOST,ADDRESS.\n";
  return Done{};
}

Status make_support_bundle(const DataDirectory& data, const std::string& to, bool as_json,
                           std::ostream& out) {
  if (auto done = write_support_bundle(data, to, os::system_clock().wall()); !done) return done;
  if (as_json) out << nlohmann::json{{"support_bundle", {{"file", to}}}}.dump() << '\n';
  return Done{};
}

// The seeder's is of another process, and not to be read by every installation's API.
Result<std::map<std::string, WallTime>> certificate_ends(const DataDirectory& data,
                                                         const OriginKeys& keys) {
  std::map<std::string, std::string> pems{{"api-ca", keys.api_ca.certificate_pem},
                                          {"server", keys.server.certificate_pem},
                                          {"swarm-ca", keys.swarm_ca.certificate_pem}};
  if (auto seeder = os::read_text(data.seed("seed.pem"))) pems["seeder"] = std::move(*seeder);
  std::map<std::string, WallTime> ends;
  for (const auto& [name, pem] : pems) {
    auto facts = net::certificate_facts(pem);
    if (!facts) return fail(std::move(facts.error()).in("the certificate of " + name));
    ends[name] = facts->not_after;
  }
  return ends;
}

struct RecordOptions {
  std::string path;  // Empty: nothing is recorded.
  std::string most = "64 MiB";
};

// What `--record` asks for; neither copied nor moved once it is open.
struct Record {
  std::optional<os::LineFile> file;
  std::optional<policy::DecisionLog> decisions;

  Status open(const RecordOptions& options) {
    if (options.path.empty()) return Done{};
    auto most = parse_bytes(options.most);
    if (!most) return fail(std::move(most.error()).in("--record-max"));
    auto created = os::LineFile::create(options.path, *most);
    if (!created) return fail(std::move(created.error()).in("--record"));
    file.emplace(std::move(*created));
    decisions.emplace([this](std::string_view line) { file->add(line); });
    return Done{};
  }
  policy::DecisionLog* log() { return decisions ? &*decisions : nullptr; }
};

Status run_serve(const DataDirectory& data, const std::string& listen, Duration stale_after,
                 std::optional<Duration> gc_every, const Scrubber::Options& scrub,
                 const RecordOptions& record) {
  auto config = read_config(data);
  if (!config) return fail(std::move(config.error()));
  auto address = parse_listen(listen, config->api_port);
  if (!address) return fail(std::move(address.error()));
  auto keys = read_keys(data);
  if (!keys) return fail(std::move(keys.error()));
  auto content =
      Content::open(data.root(), {keys->publishers, keys->target, keys->swarm_ca.certificate_pem});
  if (!content) return fail(std::move(content.error()));
  auto table = JournaledTable::open(data.catalog(), data.journal());
  if (!table) return fail(std::move(table.error()));
  Catalog catalog(**table);
  Record recorded;
  if (auto done = recorded.open(record); !done) return done;
  Seeders seeders;
  Sites sites(
      catalog, keys->lease,
      {.seeders = config->seeders(), .elsewhere = &seeders, .lease = {}, .record = recorded.log()});
  auto csv = catalog.bandwidth_rules();
  auto rules = csv ? policy::parse_bandwidth_rules(*csv)
                   : Result<policy::BandwidthRules>(fail(std::move(csv.error())));
  if (!rules) return fail(std::move(rules.error()).in("the catalogue's bandwidth rules"));
  sites.set_bandwidth_rules(std::move(*rules));
  Api api(catalog, sites,
          {keys->api_ca, keys->swarm_ca, keys->target, keys->publishers, keys->relay});
  api.serve_seeders({seeders, keys->lease.public_key(), config->seeders()});
  auto certificates = certificate_ends(data, *keys);
  if (!certificates) return fail(std::move(certificates.error()));
  const auto disk = [root = data.root()]() -> Result<wire::DiskSpace> {
    const auto space = os::space_of(root);
    if (!space) return fail(space.error());
    return wire::DiskSpace{space->free.count, space->total.count};
  };
  const Moment start{os::system_clock().now(), os::system_clock().wall()};
  std::optional<GarbageCollector> collector;
  Monitor::Options monitored{.certificates = *certificates, .disk = disk, .seeders = &seeders};
  if (gc_every) {
    collector.emplace(**content, **table, *gc_every);
    monitored.garbage = [&collector]() -> Monitor::Options::Garbage {
      const auto standing = collector->standing();
      return {standing.collections, standing.failures, standing.freed, standing.last};
    };
  }
  const Scrubber* scrubbing = nullptr;  // Begins when the loop is there.
  monitored.scrub = [&scrubbing, &api]() -> std::optional<Monitor::Options::Scrub> {
    if (scrubbing == nullptr) return std::nullopt;
    const auto standing = scrubbing->standing();
    Monitor::Options::Scrub told{.packs = standing.counts.packs,
                                 .set_aside = standing.counts.set_aside,
                                 .mended = standing.counts.mended,
                                 .rounds = standing.rounds,
                                 .failures = standing.failures,
                                 .read = standing.counts.read,
                                 .round_ended = WallTime{standing.round_ended_ms * 1'000'000},
                                 .lost = {},
                                 .wanted = static_cast<std::int64_t>(api.wanted_packs())};
    for (const auto& [space, lost] : standing.lost)
      told.lost[space] = {lost.packs, lost.chunks, lost.bytes};
    return told;
  };
  Monitor monitor(catalog, sites, std::move(monitored), start.wall);
  api.serve_metrics(monitor);
  const AuditLog audit(**table);
  api.serve_audit(audit);
  policy::Alerts::Limits limits;
  limits.stale_after = stale_after;
  auto watch = Watch::open(catalog, sites,
                           {.certificates = *certificates,
                            .disk = disk,
                            .seeders = &seeders,
                            .audit = &audit,
                            .limits = limits},
                           start);
  if (!watch) return fail(std::move(watch.error()));
  api.serve_alerts(*watch);
  api.serve_erasures({.prove =
                          [&content, &table](const DeviceId& device) {
                            return prove_erasure(**content, Catalog(**table), device,
                                                 [&content] { return (*content)->is_stopping(); });
                          },
                      .check_cvd =
                          [&content, &table](const DeviceId& device, bool read_data) {
                            return check_cvd(**content, Catalog(**table), device, read_data,
                                             [&content] { return (*content)->is_stopping(); });
                          },
                      .begin =
                          [&collector] {
                            if (collector) collector->look_now();
                          }});
  net::Loop loop;
  api.serve_content(**content, [&loop](std::function<std::function<void()>()> work) {
    loop.offload_value(std::move(work), [](const std::function<void()>& then) { then(); });
  });
  auto files = os::raise_open_files();
  if (!files) return fail(std::move(files.error()));
  net::ServerOptions options;
  options.connections_max = static_cast<int>(
      std::min<std::uint64_t>(kConnectionsMax, *files - std::min(*files / 2, kFilesBeside)));
  options.listen_address = address->host;
  options.port = address->port;
  options.certificate_pem = keys->server.certificate_pem;
  options.key_pem = keys->server.key_pem;
  options.ca_pem = keys->api_ca.certificate_pem;
  options.client_ca_pem = keys->api_ca.certificate_pem;
  options.spool_directory = data.temporary();
  options.admit = [&api](const net::Request& head) {
    return api.admit(head, net::Loop::wall_now());
  };
  const int connections_max = options.connections_max;
  auto listener = Listener::open(loop, api, std::move(options));
  if (!listener) return fail(std::move(listener.error()));
  std::optional<Scrubber> scrubber;
  if (scrub.rate.count > 0) {
    scrubber.emplace(**content, **table, scrub, [&, to = listener->get()](WantedPacks::List list) {
      loop.post([&loop, &api, to, list = std::move(list)] {
        api.want_packs(list, {loop.now(), net::Loop::wall_now()});
        to->wake();
      });
    });
    scrubbing = &*scrubber;
  }
  loop.on_signal({SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  log::info("serving", {{"address", address->host},
                        {"port", (*listener)->port()},
                        {"connections_max", connections_max}});
  loop.run();
  (*content)->stop();
  log::info("stopped");
  return Done{};
}

// On a machine of its own: joins first, if it is told to and has not yet.
Result<net::HostPort> prepare_mirror(const DataDirectory& data, const std::string& listen,
                                     const JoinOptions& how, const std::string& most,
                                     SeedingOptions& options) {
  MirrorOptions mirror;
  if (!most.empty()) {
    auto rate = parse_bit_rate(most);
    if (!rate) return fail(std::move(rate.error()).in("--mirror-max"));
    mirror.most = *rate;
  }
  options.mirror = mirror;
  auto config = how.origin.empty() ? read_mirror_config(data) : join(data, how);
  if (!config) return fail(std::move(config.error()));
  if (auto done = move_mirror(data, *config, listen, how.advertise); !done)
    return fail(std::move(done.error()));
  return parse_listen(config->listen, OriginConfig().swarm_port);
}

Result<net::HostPort> prepare_own(const DataDirectory& data, const std::string& listen) {
  auto config = read_config(data);
  if (!config) return fail(std::move(config.error()));
  return parse_listen(listen, config->swarm_port);
}

Status run_seed(const DataDirectory& data, const std::string& listen, JoinOptions how,
                const std::string& mirror_most, const RecordOptions& record,
                SeedingOptions options) {
  how.listen = listen.empty() ? "0.0.0.0:" + std::to_string(OriginConfig().swarm_port) : listen;
  const bool elsewhere = !how.origin.empty() || has_joined(data);
  if (!elsewhere && !mirror_most.empty())
    return fail(ErrorKind::invalid, "--mirror-max is for a seeder that has joined with --join");
  auto address = elsewhere ? prepare_mirror(data, listen, how, mirror_most, options)
                           : prepare_own(data, listen);
  if (!address) return fail(std::move(address.error()));
  options.host = address->host;
  options.port = address->port;
  Record recorded;
  if (auto done = recorded.open(record); !done) return done;
  options.record = recorded.log();
  return run_seeding(data, options);
}

// The command line: what was typed, and what it asks for.
struct CommandLine {
  std::string data;
  std::string listen;
  std::string names;
  std::string stale_after = "7d";
  std::string gc_every = "24h";
  std::string scrub_rate = "4 MiB";
  std::string scrub_every = "24h";
  OriginConfig config;
  SeedingOptions seeding;
  JoinOptions join;
  std::string mirror_most;
  RecordOptions record;
  std::string recorded;
  bool as_json = false;
  std::string to;
  CheckRequest checked;
  std::string from;
  BackupRequest backed_up;
  GarbageRequest garbage;
  bool dry_run = false;  // Of repair, rebuild and move.

  // The commands, which write here what is parsed.
  void add_to(CLI::App& app);
  int run(const CLI::App& app, std::ostream& out, std::ostream& err);
};

// A command line with its own commands.
struct Commands {
  CLI::App app{"lamina-origin: the data-centre side of Lamina", "lamina-origin"};
  CommandLine line;
  Commands() { line.add_to(app); }
};

void CommandLine::add_to(CLI::App& app) {
  app.footer(std::string(lamina::cli::exit_code_help()) +
             "\nExample: lamina-origin init --data /srv/lamina --name origin.example,192.0.2.7\n"
             "Example: lamina-origin check --data /srv/lamina --read-data\n"
             "Example: lamina-origin replay decisions.txt");
  app.set_version_flag("--version", LAMINA_VERSION);
  app.require_subcommand(1);
  auto* init = app.add_subcommand("init", "make a new origin's data directory, keys and CAs");
  auto* serve = app.add_subcommand("serve", "answer the API: devices and administrators");
  auto* seed = app.add_subcommand("seed", "serve packs to the reflectors that hold a lease");
  auto* support = app.add_subcommand("support-bundle",
                                     "one file for whoever helps from afar, without any secret");
  support->add_option("--to", to, "the tar file to make")->required();
  support->footer("Example: lamina-origin support-bundle --data /srv/lamina --to /tmp/origin.tar");
  auto* replay =
      app.add_subcommand("replay", "decide again what a program's `--record` wrote down");
  replay->footer("Example: lamina-origin replay decisions.txt --json");
  replay->add_option("FILE", recorded, "the record")->required();
  replay->add_flag("--json", as_json, "print {\"replay\": {...}}");
  auto* check =
      app.add_subcommand("check", "whether packs, index, records and catalogue are sound");
  check->add_flag("--read-data", checked.read_data, "read every pack whole, not its index only");
  check->add_option("--subset", checked.subset,
                    "N/T: only the packs of the Nth of T parts, as in 2/7 on Tuesdays");
  check->footer(
      "Reads only; `serve` may run. Exit code 6: something is wrong, and said with what it "
      "touches\n"
      "and what to do.\nExample: lamina-origin check --data /srv/lamina --read-data --subset 2/7");
  auto* repair = app.add_subcommand(
      "repair", "make index and block hashes anew from the packs; `serve` must be stopped");
  repair->add_option("--from", from,
                     "a backup, or a seeder's data directory: what is lost is taken from it first");
  repair->footer(
      "Reads every pack. With --from, packs that are lost or damaged here and sound there are\n"
      "copied; without it nothing is asked of anybody.\n"
      "Example: lamina-origin repair --data /srv/lamina\n"
      "Example: lamina-origin repair --data /srv/lamina --from /mnt/backup/lamina");
  auto* backup =
      app.add_subcommand("backup", "copy everything into a directory, while `serve` runs");
  backup
      ->add_option("--to", backed_up.to, "the backup's directory: a new one, or of a former backup")
      ->required();
  backup->add_flag("--read-data", backed_up.read_data,
                   "read what the backup has already, and replace what is damaged");
  backup->footer(
      "Only what is new is copied. The backup holds private keys: keep it as safe as the origin.\n"
      "Exit code 6: it is made, but for damaged things that are named.\n"
      "Example: lamina-origin backup --data /srv/lamina --to /mnt/backup/lamina");
  auto* restore = app.add_subcommand("restore", "make a data directory from a backup");
  restore->add_option("--from", from, "the backup's directory")->required();
  restore->footer(
      "Into an empty or new directory. Killed, it may be run again. See docs/operator.md for what\n"
      "a backup does not know of.\n"
      "Example: lamina-origin restore --from /mnt/backup/lamina --data /srv/lamina");
  auto* rebuild = app.add_subcommand(
      "rebuild", "make catalogue and indexes anew where they are gone; `serve` must be stopped");
  rebuild->footer(
      "The catalogue from its journal, the indexes from the packs. What is there is left alone.\n"
      "Example: lamina-origin rebuild --data /srv/lamina");
  auto* move = app.add_subcommand("move", "to another directory; `serve` must be stopped");
  move->add_option("--to", to, "the new data directory, empty or missing")->required();
  move->footer(
      "Copies and verifies; the old directory stays, but is served no more.\n"
      "Example: lamina-origin move --data /srv/lamina --to /mnt/large/lamina");
  auto* capacity =
      app.add_subcommand("capacity", "what takes how much space, and when the disk is full");
  capacity->footer(
      "Reads only; `serve` may run.\nExample: lamina-origin capacity --data /srv/lamina");
  auto* gc = app.add_subcommand(
      "gc",
      "remove what neither a layer nor a snapshot needs; `serve` must be stopped, and does "
      "it by itself");
  gc->add_flag("--dry-run", garbage.dry_run, "change nothing, say what would go");
  gc->add_option("--grace", garbage.grace,
                 "how long a device's chunk stays that no snapshot needs; 14 d unless given");
  gc->add_option("--store-grace", garbage.store_grace,
                 "how long a chunk stays that no device and no layer has; 24 h unless given");
  gc->footer(
      "What is found unneeded is noted first, and goes with a collection that comes a grace "
      "later.\n"
      "Retention rules (`lamina cvd retention`) are applied before. May be stopped and begun "
      "again.\n"
      "Exit code 4: `serve`, or a `backup`, `check` or `capacity` that reads all, has the "
      "directory.\n"
      "Exit code 6: something that is needed is lost, and nothing of its kind was removed.\n"
      "Example: lamina-origin gc --data /srv/lamina --dry-run");
  for (CLI::App* command : {check, repair, gc, backup, restore, rebuild, move, capacity})
    command->add_flag("--json", as_json, "print what was found as JSON");
  for (CLI::App* command : {init, support})
    command->add_flag("--json", as_json, "print what was made as JSON");
  repair->add_flag("--dry-run", dry_run,
                   "change nothing, say what is wrong: as `check --read-data` does");
  rebuild->add_flag("--dry-run", dry_run, "change nothing, say what would be made");
  move->add_flag("--dry-run", dry_run, "copy nothing, say whether it could be moved there");
  serve->add_option("--record", record.path,
                    "file for what was decided about the sites' leases, for `replay`");
  seed->add_option("--record", record.path,
                   "file for what was decided about each line's rate, for `replay`");
  for (CLI::App* command : {serve, seed})
    command->add_option("--record-max", record.most, "end the record at this size")
        ->capture_default_str();
  for (CLI::App* command :
       {init, serve, seed, support, check, repair, gc, backup, restore, rebuild, move, capacity})
    command->add_option("--data", data, "the origin's data directory")->required();
  for (CLI::App* command : {serve, seed})
    command->add_option("--listen", listen,
                        "ADDRESS:PORT instead of all addresses and the configured port");
  seed->add_flag("!--no-give-way", seeding.give_way,
                 "share lines with other traffic as an equal, for lines of its own");
  seed->add_option("--join", join.origin,
                   "HOST:PORT of an origin's API: become a seeder of it, on a machine of its own. "
                   "The first time only; later --data is enough");
  seed->add_option("--ca-fingerprint", join.ca_fingerprint,
                   "with --join: SHA-256 of the origin's CA, as `init` printed it");
  seed->add_option("--token", join.token,
                   "with --join: of `lamina token create --kind seeder`; its name is the seeder's");
  seed->add_option(
      "--advertise", join.advertise,
      "with --join: ADDRESS:PORT for reflectors; else as the origin sees this machine");
  seed->add_option("--mirror-max", mirror_most,
                   "how fast packs are fetched from the origin, as in '200 Mbit/s'");
  seed->footer(
      "Example: lamina-origin seed --data /srv/lamina\n"
      "Example: lamina-origin seed --data /srv/mirror --join origin.example:8443 --ca-fingerprint "
      "HEX \\\n"
      "    --token SECRET --advertise 192.0.2.20:8444");
  serve->add_option("--stale-after", stale_after,
                    "a device that has not polled for so long is an alert; 7d unless given");
  serve
      ->add_option("--gc-every", gc_every,
                   "how often what nothing needs is removed (see gc --help), or 'off'")
      ->capture_default_str();
  serve
      ->add_option("--scrub-rate", scrub_rate,
                   "how much of the packs is read in a second to see whether the disk still has "
                   "them, or 'off'")
      ->capture_default_str();
  serve
      ->add_option("--scrub-every", scrub_every,
                   "how long after a round over all packs the next begins")
      ->capture_default_str();
  init->footer("Example: lamina-origin init --data /srv/lamina --name origin.example,192.0.2.7");
  serve->footer("Example: lamina-origin serve --data /srv/lamina --gc-every 12h");
  init->add_option("--name", names, "host name and addresses of the origin, with commas")
      ->required();
  init->add_option("--api-port", config.api_port, "TCP port of the API")->capture_default_str();
  init->add_option("--swarm-port", config.swarm_port, "TCP port of the seeder")
      ->capture_default_str();
}

int CommandLine::run(const CLI::App& app, std::ostream& out, std::ostream& err) {
  config.names = cli::split(names);
  const auto stale = parse_duration(stale_after);
  if (!stale || *stale < std::chrono::minutes{5}) {
    err << "lamina-origin: --stale-after takes at least 5 minutes, as in '12 h' or '7 d'\n";
    return cli::usage;
  }
  const auto every = gc_every == "off" ? Result<Duration>(Duration{}) : parse_duration(gc_every);
  if (!every || (gc_every != "off" && *every < std::chrono::hours{1})) {
    err << "lamina-origin: --gc-every takes 'off' or at least an hour, as in '12 h' or '1 d'\n";
    return cli::usage;
  }
  const auto rate = scrub_rate == "off" ? Result<Bytes>(Bytes{}) : parse_bytes(scrub_rate);
  if (!rate || (scrub_rate != "off" && *rate < 64_KiB)) {
    err << "lamina-origin: --scrub-rate takes 'off' or at least 64 KiB, as in '4 MiB'\n";
    return cli::usage;
  }
  const auto rest = parse_duration(scrub_every);
  if (!rest || *rest < std::chrono::seconds{1}) {
    err << "lamina-origin: --scrub-every takes at least a second, as in '12 h' or '7 d'\n";
    return cli::usage;
  }
  const auto asked = [&](const char* command) { return app.got_subcommand(command); };
  const DataDirectory directory(data);
  lamina::cli::Progress progress(err, lamina::cli::stderr_is_terminal());
  checked.as_json = as_json;
  backed_up.as_json = as_json;
  garbage.as_json = as_json;
  const Status done =
      asked("replay")  ? run_replay(recorded, as_json, out)
      : asked("check") ? run_check(directory, checked, out, progress)
      : asked("repair")
          // What a repair finds wrong, and makes good: every pack is read for both.
          ? dry_run
                ? run_check(directory, {.read_data = true, .as_json = as_json}, out, progress)
                : run_repair(directory, {from, as_json}, os::system_clock().wall(), out, progress)
          : asked("gc") ? run_gc(directory, garbage, os::system_clock().wall(), out)
            : asked("backup")
                ? run_backup(directory, backed_up, os::system_clock().wall(), out, progress)
            : asked("restore")
                ? run_restore(directory, {from, as_json}, os::system_clock().wall(), out, progress)
            : asked("rebuild") ? run_rebuild(directory, {as_json, dry_run}, out, progress)
            : asked("move")    ? run_move(directory, {to, as_json, dry_run}, out, progress)
            : asked("capacity")
                ? run_capacity(directory, as_json, os::system_clock().wall(), out, progress)
            : asked("init")  ? run_init(directory, config, as_json, out)
            : asked("serve") ? run_serve(directory, listen, *stale,
                                         gc_every == "off" ? std::nullopt : std::optional(*every),
                                         {.rate = *rate, .round_every = *rest}, record)
            : asked("support-bundle")
                ? make_support_bundle(directory, to, as_json, out)
                : run_seed(directory, listen, join, mirror_most, record, std::move(seeding));
  progress.clear();
  return lamina::cli::ended(app, done, err);
}

}  // namespace

std::shared_ptr<CLI::App> command_tree() {
  auto commands = std::make_shared<Commands>();
  return {commands, &commands->app};
}

int run_origin(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  Commands commands;
  if (const auto code = lamina::cli::parse(commands.app, argc, argv, out, err)) return *code;
  return commands.line.run(commands.app, out, err);
}

}  // namespace lamina::origin
