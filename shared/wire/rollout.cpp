#include "shared/wire/rollout.hpp"

#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, RolloutShare& m) {
  a("site", m.site, 128);
  a("percent", m.percent);
}
template <class A>
void fields(A& a, RolloutWave& m) {
  a("name", m.name, 128);
  a("sites", m.sites);
  a("devices", m.devices);
  a("shares", m.shares);
  a("warm_percent", m.warm_percent);
  a("success_percent", m.success_percent);
  a("failure_percent", m.failure_percent);
  a("soak_ms", m.soak_ms);
}
template <class A>
void fields(A& a, RolloutRequest& m) {
  a("name", m.name, 128);
  a("layers", m.layers, 256);
  a("wan_budget", m.wan_budget, 64);
  a("sites_at_once", m.sites_at_once);
  a("waves", m.waves, 100);
}
template <class A>
void fields(A& a, RolloutWaveState& m) {
  a("step", m.step, 32);
  a("devices", m.devices);
  a("succeeded", m.succeeded);
  a("failed", m.failed);
  a("sites", m.sites);
  a("warm_sites", m.warm_sites);
  a("began_ms", m.began_ms);
}
template <class A>
void fields(A& a, RolloutInfo& m) {
  a("plan", m.plan);
  a("phase", m.phase, 32);
  a("waits_for", m.waits_for, 64);
  a("stop_reason", m.stop_reason, 64);
  a("text", m.text, 1024);
  a("current", m.current);
  a("created_ms", m.created_ms);
  a("started_ms", m.started_ms);
  a("ended_ms", m.ended_ms);
  a("success_since_ms", m.success_since_ms);
  a("waves", m.waves, 100);
  a("admitted", m.admitted);
  a("sites_waiting", m.sites_waiting);
  a("next_sites", m.next_sites);
}
template <class A>
void fields(A& a, RolloutList& m) {
  a("rollouts", m.rollouts);
}
template <class A>
void fields(A& a, RolloutDevice& m) {
  a("device", m.device);
  a("site", m.site, 128);
  a("wave", m.wave);
  a("outcome", m.outcome, 32);
  a("holds", m.holds);
  a("target_sequence", m.target_sequence);
  a("text", m.text, 512);
  a("outcome_ms", m.outcome_ms);
  a("bytes_by_source", m.bytes_by_source, 16);
}
template <class A>
void fields(A& a, RolloutDetail& m) {
  a("rollout", m.rollout);
  a("devices", m.devices);
}

std::string to_json(const RolloutRequest& message) { return write_message(message); }
std::string to_json(const RolloutInfo& message) { return write_message(message); }
std::string to_json(const RolloutList& message) { return write_message(message); }
std::string to_json(const RolloutDevice& message) { return write_message(message); }
std::string to_json(const RolloutDetail& message) { return write_message(message); }

Result<RolloutRequest> parse_rollout_request(std::string_view text) {
  return read_message<RolloutRequest>(text, "rollout request");
}
Result<RolloutInfo> parse_rollout_info(std::string_view text) {
  return read_message<RolloutInfo>(text, "rollout info");
}
Result<RolloutList> parse_rollout_list(std::string_view text) {
  return read_message<RolloutList>(text, "rollout list");
}
Result<RolloutDevice> parse_rollout_device(std::string_view text) {
  return read_message<RolloutDevice>(text, "rollout device");
}
Result<RolloutDetail> parse_rollout_detail(std::string_view text) {
  return read_message<RolloutDetail>(text, "rollout detail");
}

}  // namespace lamina::wire
