#include <algorithm>

#include "origin/api/api.hpp"
#include "shared/policy/reflector_role.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {
namespace {

using wire::ReflectorInfo;

// What the device said of the layers of its target.
std::vector<wire::LayerWarmth> warmth_of(const wire::DeviceInfo& device,
                                         const std::map<LayerId, wire::LayerInfo>& layers) {
  std::vector<wire::LayerWarmth> list;
  for (const wire::LayerState& state : device.layers.value_or(std::vector<wire::LayerState>{})) {
    const auto layer = layers.find(state.layer);
    if (layer == layers.end()) continue;
    const std::string name = layer->second.name + ':' + layer->second.version;
    const std::int64_t size = layer->second.stored_bytes;
    // While it fetches the records it does not know what it lacks.
    const bool is_known = state.reason != "waiting-for-records";
    const bool is_target = std::ranges::count(device.target, name) > 0;
    list.push_back({name, is_target ? "target" : "staged",
                    is_known ? std::max<std::int64_t>(0, size - state.missing_bytes) : 0, size});
  }
  return list;
}

}  // namespace

Result<std::vector<ReflectorInfo>> Api::reflector_infos(std::vector<wire::DeviceInfo> devices,
                                                        Moment moment) const {
  auto known = catalog_.layers();
  if (!known) return fail(std::move(known.error()));
  std::map<LayerId, wire::LayerInfo> layers;
  for (wire::LayerInfo& layer : *known) layers[layer.id] = std::move(layer);
  std::vector<ReflectorInfo> list;
  for (wire::DeviceInfo& device : devices) {
    if (device.status != wire::DeviceStatus::assigned) continue;
    const auto holders = sites_.lease_holders(device.site);
    ReflectorInfo info{.device = device.id,
                       .host_name = device.host_name,
                       .site = device.site,
                       .seen_ms = device.seen_ms,
                       .wan_bytes = device.bytes ? wire::over_line(device.bytes->by_source) : 0,
                       .settings = device.reflector.value_or(wire::ReflectorSettings{}),
                       .layers = warmth_of(device, layers)};
    const auto role =
        policy::role_of({.mode = policy::reflector_mode(info.settings.mode),
                         .holds_lease = std::ranges::find(holders, device.id) != holders.end(),
                         .is_up = sites_.is_up(device.site, device.id, moment),
                         .is_unfit = device.unfit.has_value()});
    info.role = policy::name_of(role);
    if (role == policy::ReflectorRole::unfit) info.reason = *device.unfit;
    const auto seen = seen_.find(device.id);
    info.settled = info.settings.version == 0 ||
                   (seen != seen_.end() && seen->second.settings_version == info.settings.version);
    if (seen != seen_.end()) {
      info.seen_ms = seen->second.ms;
      info.serving = seen->second.serving;
      info.cache = seen->second.cache;
      for (const LayerId& kept : seen->second.kept)
        if (const auto layer = layers.find(kept); layer != layers.end())
          info.layers.push_back({layer->second.name + ':' + layer->second.version, "kept",
                                 layer->second.stored_bytes, layer->second.stored_bytes});
    }
    list.push_back(std::move(info));
  }
  return list;
}

Api::Answer Api::reflectors(const std::string& site, Moment moment) const {
  if (!site.empty())
    if (auto known = catalog_.site(site); !known) return fail(std::move(known.error()));
  auto devices = this->devices();
  if (!devices) return fail(std::move(devices.error()));
  if (!site.empty()) std::erase_if(*devices, [&](const auto& d) { return d.site != site; });
  auto list = reflector_infos(std::move(*devices), moment);
  if (!list) return fail(std::move(list.error()));
  return net::json_response(wire::to_json(wire::ReflectorList{std::move(*list)}));
}

Api::Answer Api::reflector(Result<wire::DeviceInfo> device, Moment moment) const {
  if (!device) return fail(std::move(device.error()));
  auto list = reflector_infos({*device}, moment);
  if (!list) return fail(std::move(list.error()));
  if (list->empty())
    return fail(ErrorKind::not_found, "device " + device->id.hex() +
                                          " is in no site; place it with `lamina device assign`");
  return net::json_response(wire::to_json(list->front()));
}

Api::Answer Api::set_reflector(const Act& act, const DeviceId& id, const net::Request& request,
                               Moment moment) {
  auto message = wire::parse_reflector_request(request.body);
  if (!message) return fail(std::move(message.error()));
  auto settings = catalog_.set_reflector(act, id, *message);
  if (!settings) return fail(std::move(settings.error()));
  if (!act.is_rehearsal)
    if (auto done = sites_.set_mode(id, policy::reflector_mode(settings->mode), moment); !done)
      return fail(std::move(done.error()));
  auto device = catalog_.device(id);
  if (device) device->reflector = std::move(*settings);
  return reflector(std::move(device), moment);
}

Status Api::note_reflector(const wire::DeviceInfo& device, const wire::PollRequest& poll,
                           Moment moment) {
  Seen& seen = seen_[device.id];
  seen.settings_version = poll.settings_version;
  if (poll.serving) seen.serving = poll.serving;
  if (poll.cache) seen.cache = poll.cache;
  seen.kept = poll.kept.value_or(std::vector<LayerId>{});
  const auto mode = policy::reflector_mode(device.reflector ? device.reflector->mode : "");
  if (auto done = sites_.set_mode(device.id, mode, moment); !done) return done;
  const bool is_news = poll.command_done && device.reflector &&
                       std::ranges::any_of(device.reflector->commands, [&](const auto& command) {
                         return command.number <= *poll.command_done;
                       });
  return is_news ? catalog_.note_commands_done(device.id, *poll.command_done) : Status(Done{});
}

}  // namespace lamina::origin
