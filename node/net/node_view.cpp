#include "node/net/node_view.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "node/net/certificate_renewal.hpp"
#include "node/net/site_status.hpp"
#include "shared/os/file.hpp"

namespace lamina::node {
namespace {

using nlohmann::json;

std::string_view name_of_phase(Agent::Layer::Phase phase) {
  switch (phase) {
    case Agent::Layer::Phase::records: return "records";
    case Agent::Layer::Phase::fetching: return "fetching";
    case Agent::Layer::Phase::complete: return "complete";
  }
  return "unknown";
}

// The limits in force, in KB/s as the rules have them; absent: none.
json line_status(const LineLimits& line) {
  json out = json::object();
  const auto put = [&](const char* direction, const std::optional<BitRate>& rate) {
    if (!rate) return;
    out[direction] = {{"limit_kb", rate->bits_per_second / 8000}};
    if (rate == BitRate{}) out[direction]["reason"] = "waiting-for-rule";
  };
  put("download", line.limits().download);
  put("upload", line.limits().upload);
  if (const auto until = line.until()) {
    out["changes_at"] = to_iso8601(*until);
    out["changes_at_local"] = line.until_local();
  }
  return out;
}

json layers_status(const NodeView& view) {
  json out = json::array();
  for (const auto& [id, layer] : view.agent->layers()) {
    const auto files = view.layers.find(id);
    out.push_back({{"layer", id.hex()},
                   {"name", files == view.layers.end() ? "" : files->second.name},
                   {"phase", name_of_phase(layer.phase)},
                   {"reason", view.agent->reason(id)},
                   {"missing_bytes", layer.missing.count}});
  }
  return out;
}

json reflector_status(const Reflecting& reflecting) {
  const Settled& settled = reflecting.settled();
  const auto& settings = settled.settings();
  const auto cache = reflecting.cache();
  const auto served = reflecting.serving();
  json out{{"mode", policy::name_of(settled.mode())},
           {"settings_version", settings.version},
           {"command_done", settled.command_done()},
           {"cache",
            {{"bytes", cache.bytes},
             {"limit_bytes", cache.limit_bytes},
             {"kept_bytes", cache.kept_bytes},
             {"over_bytes", cache.over_bytes}}},
           {"peers_connected", served.peers_connected},
           {"peers_served", served.peers_served},
           {"peers_waiting", served.peers_waiting},
           {"kept", json::array()}};
  for (const auto& [id, files] : reflecting.kept())
    out["kept"].push_back({{"layer", id.hex()}, {"name", files.name}});
  if (settings.connections) out["connections"] = *settings.connections;
  if (!settings.networks.empty()) out["networks"] = settings.networks;
  for (const DeviceId& peer : settings.rejected) out["rejected"].push_back(peer.hex());
  return out;
}

void put_uploads(json& out, const Uploads& uploads) {
  if (const auto& held = uploads.at_site())
    out["at_site"] = {{"snapshot", held->snapshot.hex()},
                      {"relay", held->relay.hex()},
                      {"handed_at", to_iso8601(WallTime{held->handed_ms * 1'000'000})},
                      {"origin_says", held->state}};
  if (const Relay* relay = uploads.relay())
    out["relay"] = {{"port", relay->port().value_or(0)},
                    {"snapshots", relay->snapshots().size()},
                    {"bytes", relay->held().count}};
}

json status_of(const NodeView& view) {
  json out{{"ok", true},
           {"device", view.config.device.hex()},
           {"origin", view.config.origin_host + ':' + std::to_string(view.config.origin_port)},
           {"version", LAMINA_VERSION},
           {"volume", view.config.volume}};
  if (view.agent == nullptr) {
    out["state"] = "starting";
    if (view.worker_error != nullptr) out["problem"] = view.worker_error->text();
    return out;
  }
  const Agent& agent = *view.agent;
  out["state"] = "running";
  out["status"] = wire::name_of(agent.status());
  out["origin_reachable"] = agent.origin_reachable();
  if (!view.clock_trouble.empty()) out["clock_trouble"] = view.clock_trouble;
  out["target_sequence"] = agent.target() ? agent.target()->sequence : 0;
  out["applied_sequence"] = agent.applied_sequence();
  if (!view.restart_due.empty()) out["restart_due"] = view.restart_due;
  if (agent.is_waiting_for_restart()) out["waits_for_restart"] = true;
  std::optional<WallTime> issued;
  if (agent.target()) issued = agent.target()->issued;
  out.update(site_status(view.site, {.now = net::Loop::wall_now(),
                                     .is_origin_reachable = agent.origin_reachable(),
                                     .peers = view.peers,
                                     .target_issued = issued,
                                     .waiting = view.waiting}));
  out["holds_lease"] = agent.leads();
  out["lease_shares"] = agent.shares().size();  // Of ShareSet::kCount.
  if (agent.unfit()) out["unfit"] = *agent.unfit();
  out["policy"] = {{"name", view.policy.name}, {"version", view.policy.version}};
  if (view.policy_error != nullptr) out["policy"]["problem"] = view.policy_error->text();
  out["sync_interval_seconds"] =
      std::chrono::duration_cast<std::chrono::seconds>(agent.sync_interval()).count();
  if (view.snooze_left > Duration{})
    out["snoozed_until"] =
        to_iso8601(WallTime{net::Loop::wall_now().ns + view.snooze_left.count()});
  out["synchronizing"] = view.is_synchronizing;
  if (agent.uploads_wait()) out["uploads_wait"] = *agent.uploads_wait();
  out["peers"] = view.peers;
  out["relays"] = view.relays;
  out["heard_on_lan"] = view.heard;
  out["layers"] = layers_status(view);
  if (view.swarm != nullptr) {
    const auto sources = view.swarm->sources();
    out["bytes"] = {{"from_lan", sources.lan.count},
                    {"from_origin", sources.origin.count},
                    {"from_origin_https", sources.https.count},
                    {"to_lan", sources.sent.count}};
  }
  out["bytes_by_source"] = view.received.by_source;
  out["line"] = line_status(view.line);
  if (view.is_metered) out["line"]["upload"] = {{"limit_kb", 0}, {"reason", "metered-link"}};
  out["reflector"] = reflector_status(view.reflecting);
  const LastSnapshot last = read_last_snapshot(view.state);
  if (!last.id.is_none()) out["snapshot"] = last.id.hex();
  put_uploads(out, view.uploads);
  if (view.synced_at) out["synchronized_at"] = to_iso8601(*view.synced_at);
  return out;
}

}  // namespace

std::string status_line(const NodeView& view) { return status_of(view).dump(); }

std::optional<wire::DiskSpace> disk_of(const StateDirectory& state) {
  const auto space = os::space_of(state.cache());
  if (!space) return std::nullopt;
  return wire::DiskSpace{space->free.count, space->total.count};
}

NodeFigures figures_of(const NodeView& view, const net::Loop& loop) {
  const WallTime now = net::Loop::wall_now();
  NodeFigures figures{.is_running = view.agent != nullptr, .received = view.received};
  if (const auto size = cache_size(view.state)) figures.cache = *size;
  figures.disk = disk_of(view.state);
  if (const LastSnapshot last = read_last_snapshot(view.state); last.kept_ms > 0)
    figures.sync_age = std::chrono::milliseconds{now.ns / 1'000'000 - last.kept_ms};
  for (const auto& [name, path] : {std::pair{"device", view.state.device_certificate()},
                                   std::pair{"swarm", view.state.swarm_certificate()}})
    if (const auto expires = expiry_of_file(loop, path))
      figures.certificates_left[name] = *expires - loop.now();
  if (view.agent == nullptr) return figures;
  const Agent& agent = *view.agent;
  figures.is_origin_reachable = agent.origin_reachable();
  figures.holds_lease = agent.leads();
  figures.peers_known = static_cast<std::int64_t>(view.peers);
  Bytes missing;
  for (const auto& [id, layer] : agent.layers()) missing += layer.missing;
  figures.missing = missing;
  if (const auto& target = agent.target()) {
    figures.is_target_applied = target->sequence == agent.applied_sequence();
    figures.target_age = Duration{now.ns - target->issued.ns};
  }
  if (view.swarm == nullptr) return figures;
  figures.sent = view.swarm->sources().sent;
  std::set<std::string> connected;
  for (const LayerSwarm::PeerBytes& peer : view.swarm->lan_peers()) connected.insert(peer.address);
  figures.peers_connected = static_cast<std::int64_t>(connected.size());
  return figures;
}

}  // namespace lamina::node
