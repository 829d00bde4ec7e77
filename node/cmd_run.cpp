#include "node/cmd_run.hpp"

#include <csignal>

#include "node/net/service.hpp"
#include "reflector/reflector.hpp"
#include "shared/base/log.hpp"
#include "shared/net/https_client.hpp"
#include "shared/os/line_file.hpp"
#include "shared/os/memory.hpp"

namespace lamina::node {
namespace {

// The reflector behind the service's interface.
class ReflectorSwarm : public LayerSwarm {
 public:
  explicit ReflectorSwarm(std::unique_ptr<reflector::Reflector> reflector)
      : reflector_(std::move(reflector)) {}

  Status join(const LayerFiles& layer, const Leaning& leaning) override {
    return reflector_->join(layer.layer, layer.torrent, layer.packs, leaning.unneeded,
                            leaning.partly);
  }
  void leave(const LayerId& layer) override { reflector_->leave(layer); }
  Status meet(const std::vector<wire::Peer>& peers) override { return reflector_->meet(peers); }
  Status configure(const Serving& serving) override {
    return reflector_->configure({serving.serves, serving.connections_max, serving.networks});
  }
  Status lead(const Lease& lease) override {
    return reflector_->lead({.epoch = lease.epoch,
                             .token = lease.token,
                             .expires = lease.expires,
                             .seeders = lease.seeders,
                             .by_budget = lease.by_budget,
                             .shares = lease.shares,
                             .most = lease.most});
  }
  void resign() override { reflector_->resign(); }
  std::optional<Bytes> wan_left() const override { return reflector_->wan_left(); }
  void limit_wan(BitRate most) override { reflector_->limit_wan(most); }
  void use_transport(std::optional<policy::WanTransport::Kind> only) override {
    reflector_->use_transport(only);
  }
  void use_identity(const Identity& identity) override {
    reflector_->use_identity({identity.certificate_pem, identity.key_pem});
  }
  Sources sources() const override {
    const auto sources = reflector_->sources();
    return {sources.lan, sources.origin, sources.https, sources.sent};
  }
  Bytes sent(const LayerId& layer) const override { return reflector_->sent(layer); }
  std::vector<PeerBytes> lan_peers() const override {
    std::vector<PeerBytes> list;
    for (auto& peer : reflector_->lan_peers())
      list.push_back({std::move(peer.connection), std::move(peer.address), peer.received, peer.sent,
                      peer.is_whole});
    return list;
  }

 private:
  std::unique_ptr<reflector::Reflector> reflector_;
};

LayerSwarm::Event event_of(const reflector::Event& event) {
  if (const auto* progress = std::get_if<reflector::Progress>(&event))
    return LayerSwarm::Progress{progress->layer, progress->missing};
  if (const auto* complete = std::get_if<reflector::LayerComplete>(&event))
    return LayerSwarm::Complete{complete->layer};
  if (const auto* changed = std::get_if<reflector::TransportChanged>(&event))
    return LayerSwarm::TransportChanged{changed->to_https};
  const auto& trouble = std::get<reflector::Trouble>(event);
  return LayerSwarm::Trouble{trouble.kind, trouble.text};
}

StartSwarm reflector_swarm(net::Loop& loop, const StateDirectory& state, const DeviceId& device,
                           const RunOptions& options, policy::DecisionLog* record) {
  return [&loop, state, device, options, record](
             const LayerSwarm::Identity& identity, std::shared_ptr<swarm::PieceSource> ranges,
             LayerSwarm::OnEvent on_event) -> Result<std::unique_ptr<LayerSwarm>> {
    auto started = reflector::Reflector::start(
        loop,
        {.device = device,
         .cache = state.cache(),
         .listen = options.swarm_listen,
         .identity = {identity.certificate_pem, identity.key_pem},
         .wan_receive_max = options.wan_receive_max,
         .source = std::move(ranges),
         .transport = {.only = options.wan_transport},
         .record = record},
        [on_event = std::move(on_event)](const reflector::Event& event) {
          on_event(event_of(event));
        });
    if (!started) return fail(std::move(started.error()));
    return std::make_unique<ReflectorSwarm>(std::move(*started));
  };
}

Result<std::optional<Relay::Options>> relay_options(const RunOptions& options,
                                                    const net::HostPort& swarm) {
  using Relayed = std::optional<Relay::Options>;
  if (options.relay_listen == "off" || swarm.port == 65535) return Relayed{};
  auto place = options.relay_listen.empty()
                   ? Result<net::HostPort>({swarm.host, static_cast<std::uint16_t>(swarm.port + 1)})
                   : net::parse_host_port(options.relay_listen);
  if (!place) return fail(ErrorKind::invalid, "--relay-listen: " + place.error().text());
  Relay::Options relay{.listen_address = place->host, .port = place->port};
  relay.limits.total_max = options.relay_space;
  // One device does not take all of it.
  relay.limits.device_max = Bytes{options.relay_space.count / 2};
  return Relayed{std::move(relay)};
}

Result<std::optional<Beacons::Options>> beacon_options(const RunOptions& options,
                                                       const net::HostPort& swarm) {
  using Beaconed = std::optional<Beacons::Options>;
  if (options.beacon_port == "off") return Beaconed{};
  if (options.beacon_port.empty()) {
    if (swarm.port > 65533) return Beaconed{};
    return Beaconed{{.port = static_cast<std::uint16_t>(swarm.port + 2)}};
  }
  auto place = net::parse_host_port("0.0.0.0:" + options.beacon_port);
  if (!place)
    return fail(ErrorKind::invalid, "--beacon-port: '" + printable(options.beacon_port, 40) +
                                        "' is neither a port nor off");
  return Beaconed{{.port = place->port}};
}

}  // namespace

Status give_up_root(const std::string& asked, const std::string& enrolled) {
  if (!os::is_root()) return Done{};
  const std::string& name = asked.empty() ? enrolled : asked;
  if (name.empty())
    return fail(ErrorKind::invalid,
                "the network process does not run as root: name its user with --user");
  auto user = os::find_user(name);
  if (!user) return fail(std::move(user.error()));
  if (user->uid == 0)
    return fail(ErrorKind::invalid, "the network process does not run as root: --user " + name);
  return os::become(*user);
}

Status run_network(const StateDirectory& state, const RunOptions& options) {
  auto config = read_config(state);
  if (!config) return fail(std::move(config.error()));
  const auto place = net::parse_host_port(options.swarm_listen);
  if (!place) return fail(ErrorKind::invalid, "--swarm-listen: " + place.error().text());
  if (auto done = give_up_root(options.user, config->user); !done) return done;
  auto relay = relay_options(options, *place);
  if (!relay) return fail(std::move(relay.error()));
  auto beacons = beacon_options(options, *place);
  if (!beacons) return fail(std::move(beacons.error()));
  std::optional<os::LineFile> lines;
  std::optional<policy::DecisionLog> decisions;
  if (!options.record.empty()) {
    auto created = os::LineFile::create(options.record, options.record_max);
    if (!created) return fail(std::move(created.error()).in("--record"));
    lines.emplace(std::move(*created));
    decisions.emplace([&lines](std::string_view text) { lines->add(text); });
  }
  // Taking an update needs hundreds of MB for seconds, once a month.
  os::return_freed_memory();
  net::Loop loop;
  Service::Options service_options{.swarm_port = place->port};
  service_options.sys = options.sys;
  service_options.fitness.user_allows = options.serves;
  service_options.fitness.metered = options.metered;
  service_options.fitness.record = decisions ? &*decisions : nullptr;
  service_options.uploads.relay = std::move(*relay);
  service_options.beacons = *beacons;
  service_options.cache_limit = options.cache_limit;
  service_options.patrol_every = options.patrol_every;
  service_options.limits.sync_interval = options.sync_interval;
  service_options.limits.transport = options.wan_transport;
  service_options.limits.record = decisions ? &*decisions : nullptr;
  auto service = Service::start(
      loop, state, service_options,
      reflector_swarm(loop, state, config->device, options, decisions ? &*decisions : nullptr));
  if (!service) return fail(std::move(service.error()));
  loop.on_signal({SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  loop.run();
  log::info("node_stopped");
  return Done{};
}

}  // namespace lamina::node
