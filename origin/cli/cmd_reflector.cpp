#include <charconv>

#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

using wire::ReflectorInfo;
using wire::ReflectorRequest;

std::string role_of(const ReflectorInfo& info) {
  std::string text = printable(info.role, 32);
  if (!info.reason.empty()) text += " (" + printable(info.reason, 64) + ')';
  return info.settled ? text : text + ", not told yet";
}
std::string time_of(std::int64_t ms) {
  return ms == 0 ? "never" : to_iso8601(WallTime{ms * 1'000'000});
}
std::string limit_of(const ReflectorInfo& info) {
  if (!info.cache) return "-";
  return info.cache->limit_bytes == 0 ? "none" : to_text(Bytes{info.cache->limit_bytes});
}
// The percentage of the layers of its target that it holds.
std::string warmth_of(const ReflectorInfo& info) {
  double held = 0, size = 0;
  for (const wire::LayerWarmth& layer : info.layers)
    if (layer.use != "kept") {
      held += static_cast<double>(layer.held_bytes);
      size += static_cast<double>(layer.size_bytes);
    }
  return size == 0 ? "-" : std::to_string(static_cast<int>(held * 100 / size)) + " %";
}

Status list(Session& s, const std::string& site) {
  auto body = s.get(site.empty() ? std::string("/v1/reflectors")
                                 : "/v1/sites/" + encoded(site) + "/reflectors");
  if (!body) return fail(std::move(body.error()));
  auto found = wire::parse_reflector_list(*body);
  if (!found) return fail(std::move(found.error()));
  Session::Rows rows{{"DEVICE", "HOST", "SITE", "ROLE", "SERVED", "WAITING", "SAVED", "LINE",
                      "CACHE", "LIMIT", "WARM", "SEEN"}};
  for (const ReflectorInfo& i : found->reflectors) {
    if (s.json) *s.out << wire::to_json(i) << '\n';
    const auto& serving = i.serving;
    rows.push_back({i.device.hex(), printable(i.host_name, 60), i.site, role_of(i),
                    serving ? std::to_string(serving->peers_served) : "-",
                    serving ? std::to_string(serving->peers_waiting) : "-",
                    serving ? to_text(Bytes{serving->sent_bytes}) : "-",
                    to_text(Bytes{i.wan_bytes}), i.cache ? to_text(Bytes{i.cache->bytes}) : "-",
                    limit_of(i), warmth_of(i), time_of(i.seen_ms)});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

void print(Session& s, const ReflectorInfo& i) {
  const auto& settings = i.settings;
  Session::Rows rows{
      {"device", i.device.hex()},
      {"host", printable(i.host_name, 60)},
      {"site", i.site},
      {"role", role_of(i)},
      {"settings", settings.mode + ", version " + std::to_string(settings.version)},
      {"connections", settings.connections ? "at most " + std::to_string(*settings.connections)
                                           : "the device's own limit"},
      {"cache limit",
       settings.cache_bytes ? to_text(Bytes{*settings.cache_bytes}) : "the device's own"}};
  for (const std::string& network : settings.networks) rows.push_back({"network", network});
  for (const DeviceId& peer : settings.rejected) rows.push_back({"rejects", peer.hex()});
  for (const wire::ReflectorCommand& command : settings.commands)
    rows.push_back({"waits", printable(command.what, 32) + " " + std::to_string(command.number)});
  if (i.serving) {
    rows.push_back({"peers", std::to_string(i.serving->peers_connected) + " connected, " +
                                 std::to_string(i.serving->peers_served) + " served, " +
                                 std::to_string(i.serving->peers_waiting) + " waiting"});
    rows.push_back({"saved", to_text(Bytes{i.serving->sent_bytes}) + " given to peers"});
  }
  rows.push_back({"line", to_text(Bytes{i.wan_bytes}) + " fetched over it"});
  if (i.cache) {
    rows.push_back({"cache", to_text(Bytes{i.cache->bytes}) + " of " + limit_of(i) + ", " +
                                 to_text(Bytes{i.cache->kept_bytes}) + " kept for the site"});
    if (i.cache->over_bytes > 0)
      rows.push_back({"over", to_text(Bytes{i.cache->over_bytes}) +
                                  " above its limit: its own target needs them"});
  }
  rows.push_back({"last poll", time_of(i.seen_ms)});
  s.table(rows);
  if (i.layers.empty()) return;
  Session::Rows layers{{"LAYER", "USE", "HELD", "SIZE", "WARM"}};
  for (const wire::LayerWarmth& layer : i.layers) {
    const double share = layer.size_bytes == 0 ? 100.0
                                               : 100.0 * static_cast<double>(layer.held_bytes) /
                                                     static_cast<double>(layer.size_bytes);
    layers.push_back({layer.layer, layer.use, to_text(Bytes{layer.held_bytes}),
                      to_text(Bytes{layer.size_bytes}),
                      std::to_string(static_cast<int>(share)) + " %"});
  }
  *s.out << '\n';
  s.table(layers);
}

Status answer(Session& s, const Result<std::string>& body) {
  if (!body) return fail(body.error());
  auto info = wire::parse_reflector_info(*body);
  if (!info) return fail(std::move(info.error()));
  if (s.dry_run && !s.json) *s.out << "dry run, nothing is changed; it would be:\n";
  if (s.json)
    *s.out << *body << '\n';
  else
    print(s, *info);
  return Done{};
}

struct Words {
  std::string site, device, peer, connections, cache;
  std::vector<std::string> networks;
  bool no_networks = false;
};

Status send(Session& s, const std::string& action, const Words& words) {
  ReflectorRequest request{.action = action};
  if (!words.peer.empty()) {
    auto peer = DeviceId::parse(words.peer);
    if (!peer) return fail(std::move(peer.error()).in("--peer"));
    request.peer = *peer;
  }
  if (words.connections == "default") {
    request.connections = 0;
  } else if (!words.connections.empty()) {
    std::int64_t number = 0;
    const char* end = words.connections.data() + words.connections.size();
    if (std::from_chars(words.connections.data(), end, number).ptr != end || number < 2)
      return fail(ErrorKind::invalid, "--connections is a number from 2 on, or 'default', not '" +
                                          printable(words.connections, 40) + "'");
    request.connections = number;
  }
  if (words.cache == "default") {
    request.cache_bytes = 0;
  } else if (!words.cache.empty()) {
    auto size = parse_bytes(words.cache);
    if (!size) return fail(std::move(size.error()).in("--cache"));
    if (size->count <= 0)
      return fail(ErrorKind::invalid, "--cache is a size above 0, or 'default'");
    request.cache_bytes = size->count;
  }
  if (!words.networks.empty() || words.no_networks) request.networks = words.networks;
  return answer(s, s.call("POST", "/v1/devices/" + encoded(words.device) + "/reflector",
                          wire::to_json(request)));
}

}  // namespace

void add_reflector(CLI::App& app, Run& run) {
  auto* reflector =
      app.add_subcommand("reflector", "how the devices of a site fetch for it and serve it");
  reflector->require_subcommand(1);
  reflector->footer("Example: lamina reflector ls --site north");
  auto words = std::make_shared<Words>();
  auto* ls = reflector->add_subcommand("ls", "every device as a reflector of its site");
  ls->footer(
      "ROLE: acting (fetches for its site), standby, suspended, disabled, unfit (why), silent (no\n"
      "poll lately). SERVED, WAITING: connected devices that it gave content to, and that still\n"
      "lack some. SAVED: what it gave to peers. LINE: what it fetched over the line. WARM: how "
      "much\n"
      "of its own target it holds.\n"
      "Example: lamina reflector ls --site north --json");
  ls->add_option("--site", words->site, "of this site only");
  ls->callback([&run, words] { run = [words](Session& s) { return list(s, words->site); }; });

  const auto command = [&](const char* name, const char* what, const char* example) {
    auto* added = reflector->add_subcommand(name, what);
    added->footer(std::string("Example: lamina reflector ") + name +
                  " 00112233445566778899aabbccddeeff" + example);
    added->add_option("device", words->device, "32 hex digits")->required();
    return added;
  };
  command("show", "one device, its settings, and how warm each layer is on it", " --json")
      ->callback([&run, words] {
        run = [words](Session& s) {
          return answer(s, s.get("/v1/devices/" + encoded(words->device) + "/reflector"));
        };
      });
  const auto acts = [&](CLI::App* added) {
    const std::string action = added->get_name();
    added->callback([&run, words, action] {
      run = [words, action](Session& s) { return send(s, action, *words); };
    });
  };
  acts(command("suspend", "it serves, and fetches nothing over the line", ""));
  acts(command("resume", "it fetches over the line again", ""));
  acts(command("disable",
               "it serves nobody; what its own target does not need leaves its cache at once", ""));
  acts(command("enable", "it serves its site again", ""));
  acts(command("sync", "it polls and looks through its content now", ""));
  acts(command("rebuild", "it reads its whole cache back; what is damaged is fetched again", ""));
  for (auto* added : {command("accept", "it serves that device of its site again", " --peer ID"),
                      command("reject", "it does not serve that device of its site",
                              " --peer ffeeddccbbaa99887766554433221100")}) {
    added->add_option("--peer", words->peer, "32 hex digits")->required();
    acts(added);
  }
  auto* configure = command("configure", "bounds and networks; what is not named stays",
                            " --connections 20 --cache '20 GiB' --network 10.7.0.0/16");
  configure->add_option("--connections", words->connections,
                        "with peers at most, or 'default': the device's own limit");
  configure->add_option("--cache", words->cache,
                        "most that its cache takes, for example '20 GiB', or 'default'");
  auto* networks = configure->add_option(
      "--network", words->networks,
      "CIDR outside of the site's subnets whose devices may connect too; all that shall hold");
  configure->add_flag("--no-networks", words->no_networks, "none")->excludes(networks);
  acts(configure);
}

}  // namespace lamina::origin::cli
