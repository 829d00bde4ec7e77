#include "shared/wire/node.hpp"

#include <limits>

#include "shared/wire/json_fields.hpp"
#include "shared/wire/policy_fields.hpp"
#include "shared/wire/reflector_fields.hpp"
#include "shared/wire/report_fields.hpp"

namespace lamina::wire {

std::string_view name_of(DeviceStatus status) {
  switch (status) {
    case DeviceStatus::pending: return "pending";
    case DeviceStatus::assigned: return "assigned";
    case DeviceStatus::rejected: return "rejected";
  }
  return "unknown";
}

bool is_over_line(std::string_view source) { return source.starts_with("origin-by-"); }

std::int64_t over_line(const std::map<std::string, std::int64_t>& by_source) {
  constexpr auto max = std::numeric_limits<std::int64_t>::max();
  std::int64_t sum = 0;
  for (const auto& [source, bytes] : by_source)
    if (is_over_line(source)) sum = bytes > max - sum ? max : sum + bytes;
  return sum;
}

std::vector<DeviceId> holders_of(const LeaseView& lease) {
  return lease.holders.value_or(std::vector<DeviceId>{lease.holder});
}

template <class A>
void fields(A& a, Want& m) {
  a("layer", m.layer);
  a("missing_bytes", m.missing_bytes);
  a("fresh", m.fresh);
  a("update", m.update);
}
template <class A>
void fields(A& a, UpdateOf& m) {
  a("layer", m.layer);
  a("from", m.from);
}
template <class A>
void fields(A& a, RelayedSnapshot& m) {
  a("device", m.device);
  a("snapshot", m.snapshot);
  a("sequence", m.sequence);
  a("bytes", m.bytes);
  a("age_ms", m.age_ms);
}
template <class A>
void fields(A& a, HandedSnapshot& m) {
  a("snapshot", m.snapshot);
  a("sequence", m.sequence);
}
template <class A>
void fields(A& a, PollRequest& m) {
  a("layers", m.layers, 256);
  a("bytes", m.bytes);
  a("disk", m.disk);
  a("target_sequence", m.target_sequence);
  a("applied_sequence", m.applied_sequence);
  a("site_version", m.site_version);
  a("keeps_peers", m.keeps_peers);
  a("applied", m.applied, 256);
  a("wants", m.wants, 256);
  a("lan_address", m.lan_address, 64);
  a("swarm_port", m.swarm_port);
  a("wait_ms", m.wait_ms);
  a("node_version", m.node_version, 64);
  a("rules_version", m.rules_version);
  a("unfit", m.unfit, 64);
  a("relay_port", m.relay_port);
  a("relayed", m.relayed, kRelayedMax);
  a("handed", m.handed);
  a("members_sequence", m.members_sequence);
  a("settings_version", m.settings_version);
  a("command_done", m.command_done);
  a("cache", m.cache);
  a("serving", m.serving);
  a("kept", m.kept, 256);
  a("restart_due", m.restart_due, 256);
  a("policy", m.policy, 64);
  a("snooze", m.snooze);
  a("hardware", m.hardware);
  a("uploads_wait", m.uploads_wait);
}
template <class A>
void fields(A& a, Peer& m) {
  a("device", m.device);
  a("address", m.address, 64);
  a("port", m.port);
  a("relay_port", m.relay_port);
  a("serves", m.serves);
}
template <class A>
void fields(A& a, SiteView& m) {
  a("name", m.name, 128);
  a("version", m.version);
  a("peers", m.peers, 10'000);
  a("same_peers", m.same_peers);
  a("appoint", m.appoint);
  a("rules_version", m.rules_version);
  a("rules", m.rules, static_cast<std::size_t>(kSiteRulesMax.count));
  a("withheld", m.withheld, 1024);
  a("fresh", m.fresh, kFreshMax);
  a("updates", m.updates, kFreshMax);
  a("transport", m.transport, 16);
}
template <class A>
void fields(A& a, BudgetRequest& m) {
  a("target_sequence", m.target_sequence);
}
template <class A>
void fields(A& a, LeaseView& m) {
  a("holder", m.holder);
  a("epoch", m.epoch);
  a("token", m.token, 4096);
  a("expires_in_ms", m.expires_in_ms);
  a("seeders", m.seeders, 64);
  a("shares", m.shares);
  a("holders", m.holders, 16);
}
template <class A>
void fields(A& a, WantedPack& m) {
  a("layer", m.layer);
  a("pack", m.pack);
}
template <class A>
void fields(A& a, PollReply& m) {
  a("status", m.status);
  a("target", m.target);
  a("site", m.site);
  a("lease", m.lease);
  a("server_time_ms", m.server_time_ms);
  a("next_wait_ms", m.next_wait_ms);
  a("relay_key", m.relay_key, 32);
  a("reflector", m.reflector);
  a("handed", m.handed, 32);
  a("members", m.members);
  a("waiting", m.waiting, 1024);
  a("wanted_packs", m.wanted_packs, kWantedPacksMax);
  a("policy", m.policy);
  a("snooze", m.snooze);
  a("wants_hardware", m.wants_hardware);
  a("uploads_wait", m.uploads_wait, 1024);
}
template <class A>
void fields(A& a, LeaseRequest& m) {
  a("epoch", m.epoch);
  a("wants", m.wants, 256);
  a("left_bytes", m.left_bytes);
}
template <class A>
void fields(A& a, LeaseReply& m) {
  a("lease", m.lease);
}
template <class A>
void fields(A& a, SnapshotReply& m) {
  a("snapshot", m.snapshot);
}
template <class A>
void fields(A& a, ParcelReply& m) {
  a("state", m.state, 32);
  a("text", m.text);
}

std::string to_json(const LayerState& message) { return write_message(message); }
std::string to_json(const ByteCounts& message) { return write_message(message); }
std::string to_json(const PollRequest& message) { return write_message(message); }
std::string to_json(const PollReply& message) { return write_message(message); }
std::string to_json(const LeaseRequest& message) { return write_message(message); }
std::string to_json(const LeaseReply& message) { return write_message(message); }
std::string to_json(const BudgetRequest& message) { return write_message(message); }
std::string to_json(const Report& message) { return write_message(message); }
std::string to_json(const SnapshotReply& message) { return write_message(message); }
std::string to_json(const ParcelReply& message) { return write_message(message); }

Result<ByteCounts> parse_byte_counts(std::string_view text) {
  return read_message<ByteCounts>(text, "byte counts");
}
Result<PollRequest> parse_poll_request(std::string_view text) {
  return read_message<PollRequest>(text, "poll request");
}
Result<PollReply> parse_poll_reply(std::string_view text) {
  return read_message<PollReply>(text, "poll reply");
}
Result<LeaseRequest> parse_lease_request(std::string_view text) {
  return read_message<LeaseRequest>(text, "lease request");
}
Result<LeaseReply> parse_lease_reply(std::string_view text) {
  return read_message<LeaseReply>(text, "lease reply");
}
Result<BudgetRequest> parse_budget_request(std::string_view text) {
  return read_message<BudgetRequest>(text, "budget request");
}
Result<Report> parse_report(std::string_view text) { return read_message<Report>(text, "report"); }
Result<SnapshotReply> parse_snapshot_reply(std::string_view text) {
  return read_message<SnapshotReply>(text, "snapshot reply");
}
Result<ParcelReply> parse_parcel_reply(std::string_view text) {
  return read_message<ParcelReply>(text, "parcel reply");
}

}  // namespace lamina::wire
