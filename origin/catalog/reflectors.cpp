#include "origin/catalog/rows.hpp"
#include "shared/policy/reflector_role.hpp"
#include "shared/policy/subnet.hpp"

namespace lamina::origin {
namespace {

using policy::ReflectorMode;
using wire::ReflectorRequest;
using wire::ReflectorSettings;

constexpr std::int64_t kConnectionsMin = 2, kConnectionsMax = 10'000;

Status switch_mode(ReflectorSettings& settings, ReflectorMode from, ReflectorMode to) {
  const auto now = policy::reflector_mode(settings.mode);
  if (now != from && now != to)
    return fail(ErrorKind::refused,
                "the device is " + settings.mode + "; first `lamina reflector " +
                    (now == ReflectorMode::disabled ? "enable" : "resume") + "`");
  settings.mode = policy::name_of(to);
  return Done{};
}

Status add_command(const Rows& rows, ReflectorSettings& settings, const std::string& what) {
  if (settings.commands.size() >= wire::kReflectorCommandsMax)
    return fail(ErrorKind::refused,
                std::to_string(settings.commands.size()) +
                    " commands wait for the device already; it has not polled since");
  auto floor = load_floor(rows);
  if (!floor) return fail(std::move(floor.error()));
  settings.last_command = std::max(settings.last_command + 1, *floor);
  settings.commands.push_back({settings.last_command, what});
  return Done{};
}

Status choose_peer(const Rows& rows, const wire::DeviceInfo& device, ReflectorSettings& settings,
                   const ReflectorRequest& request) {
  if (!request.peer) return fail(ErrorKind::invalid, request.action + " needs a peer");
  if (request.action == "accept") {
    if (std::erase(settings.rejected, *request.peer) == 0)
      return fail(ErrorKind::not_found, "the device serves " + request.peer->hex() + " already");
    return Done{};
  }
  if (*request.peer == device.id)
    return fail(ErrorKind::invalid, "the peer is the device itself; name another one of its site");
  auto peer = load_device(rows, *request.peer);
  if (!peer) return fail(std::move(peer.error()));
  if (peer->site != device.site)
    return fail(ErrorKind::refused, "device " + peer->id.hex() + " is not of site " + device.site +
                                        ": it is no peer, and gets nothing anyway");
  if (std::ranges::count(settings.rejected, peer->id) > 0) return Done{};
  if (settings.rejected.size() >= wire::kReflectorRejectedMax)
    return fail(ErrorKind::refused, "at most " + std::to_string(wire::kReflectorRejectedMax) +
                                        " peers can be rejected; disable the device instead");
  settings.rejected.push_back(peer->id);
  return Done{};
}

Status configure(ReflectorSettings& settings, const ReflectorRequest& request) {
  if (!request.connections && !request.cache_bytes && !request.networks)
    return fail(ErrorKind::invalid, "configure needs connections, a cache size or networks");
  if (const auto& n = request.connections) {
    if (*n != 0 && (*n < kConnectionsMin || *n > kConnectionsMax))
      return fail(ErrorKind::invalid, "connections are " + std::to_string(kConnectionsMin) +
                                          " to " + std::to_string(kConnectionsMax) +
                                          ", or 0 for the device's own");
    settings.connections = *n == 0 ? std::nullopt : n;
  }
  if (const auto& size = request.cache_bytes)
    settings.cache_bytes = *size == 0 ? std::nullopt : size;
  if (request.networks) {
    for (const std::string& network : *request.networks)
      if (auto subnet = policy::parse_subnet(network); !subnet)
        return fail(std::move(subnet.error()).in("network"));
    settings.networks = *request.networks;
  }
  return Done{};
}

Status take(const Rows& rows, const wire::DeviceInfo& device, ReflectorSettings& settings,
            const ReflectorRequest& request) {
  const std::string& action = request.action;
  if (action == "suspend")
    return switch_mode(settings, ReflectorMode::active, ReflectorMode::suspended);
  if (action == "resume")
    return switch_mode(settings, ReflectorMode::suspended, ReflectorMode::active);
  if (action == "disable") {
    settings.mode = policy::name_of(ReflectorMode::disabled);
    return Done{};
  }
  if (action == "enable")
    return switch_mode(settings, ReflectorMode::disabled, ReflectorMode::active);
  if (action == "sync" || action == "rebuild") return add_command(rows, settings, action);
  if (action == "accept" || action == "reject") return choose_peer(rows, device, settings, request);
  if (action == "configure") return configure(settings, request);
  return fail(ErrorKind::invalid,
              "there is no action '" + printable(action, 40) +
                  "'; there are suspend, resume, disable, enable, sync, rebuild, accept, reject "
                  "and configure");
}

std::string detail_of(const ReflectorRequest& request) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : " ") + part; };
  if (request.peer) add("peer=" + request.peer->hex());
  if (request.connections) add("connections=" + std::to_string(*request.connections));
  if (request.cache_bytes) add("cache=" + std::to_string(*request.cache_bytes));
  if (request.networks) add("networks=" + joined(*request.networks));
  return text;
}

}  // namespace

Result<ReflectorSettings> Catalog::set_reflector(const Act& act, const DeviceId& id,
                                                 const ReflectorRequest& request) {
  return writing<ReflectorSettings>(table_, [&](Rows& rows) -> Result<ReflectorSettings> {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (device->status != wire::DeviceStatus::assigned)
      return fail(ErrorKind::refused, "device " + id.hex() + " is " +
                                          std::string(wire::name_of(device->status)) +
                                          "; place it with `lamina device assign` first");
    ReflectorSettings settings = device->reflector.value_or(ReflectorSettings{});
    if (auto done = take(rows, *device, settings, request); !done)
      return fail(std::move(done.error()).in("device " + id.hex()));
    if (device->reflector.value_or(ReflectorSettings{}) == settings) return settings;
    auto floor = load_floor(rows);
    if (!floor) return fail(std::move(floor.error()));
    settings.version = std::max(settings.version + 1, *floor);
    device->reflector = settings;
    if (auto put = store_device(rows, *device); !put) return fail(std::move(put.error()));
    if (auto noted = append_audit(rows, act, "reflector." + request.action, "device:" + id.hex(),
                                  detail_of(request));
        !noted)
      return fail(std::move(noted.error()));
    changed_devices_.insert(id);
    return settings;
  });
}

Status Catalog::note_commands_done(const DeviceId& id, std::uint64_t newest) {
  return table_.write([&](Rows& rows) -> Status {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (!device->reflector) return Done{};
    const auto done = [&](const wire::ReflectorCommand& c) { return c.number <= newest; };
    if (std::erase_if(device->reflector->commands, done) == 0) return Done{};
    return store_device(rows, *device);
  });
}

}  // namespace lamina::origin
