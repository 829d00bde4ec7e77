#include "shared/wire/reflector.hpp"

#include "shared/wire/reflector_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, LayerWarmth& m) {
  a("layer", m.layer, 256);
  a("use", m.use, 32);
  a("held_bytes", m.held_bytes);
  a("size_bytes", m.size_bytes);
}
template <class A>
void fields(A& a, ReflectorInfo& m) {
  a("device", m.device);
  a("host_name", m.host_name, 256);
  a("site", m.site, 128);
  a("role", m.role, 32);
  a("reason", m.reason, 64);
  a("seen_ms", m.seen_ms);
  a("wan_bytes", m.wan_bytes);
  a("settled", m.settled);
  a("settings", m.settings);
  a("serving", m.serving);
  a("cache", m.cache);
  a("layers", m.layers, 1024);
}
template <class A>
void fields(A& a, ReflectorList& m) {
  a("reflectors", m.reflectors);
}
template <class A>
void fields(A& a, ReflectorRequest& m) {
  a("action", m.action, 32);
  a("peer", m.peer);
  a("connections", m.connections);
  a("cache_bytes", m.cache_bytes);
  a("networks", m.networks, kReflectorNetworksMax);
}

std::string to_json(const ReflectorSettings& message) { return write_message(message); }
std::string to_json(const ReflectorInfo& message) { return write_message(message); }
std::string to_json(const ReflectorList& message) { return write_message(message); }
std::string to_json(const ReflectorRequest& message) { return write_message(message); }

Result<ReflectorSettings> parse_reflector_settings(std::string_view text) {
  return read_message<ReflectorSettings>(text, "reflector settings");
}
Result<ReflectorInfo> parse_reflector_info(std::string_view text) {
  return read_message<ReflectorInfo>(text, "reflector");
}
Result<ReflectorList> parse_reflector_list(std::string_view text) {
  return read_message<ReflectorList>(text, "reflector list");
}
Result<ReflectorRequest> parse_reflector_request(std::string_view text) {
  return read_message<ReflectorRequest>(text, "reflector request");
}

}  // namespace lamina::wire
