#include "shared/wire/policies.hpp"

#include "shared/wire/policy_fields.hpp"
#include "shared/wire/retention_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, PolicyInfo& m) {
  a("policy", m.policy);
  a("retention", m.retention);
  a("changed_ms", m.changed_ms);
  a("changed_by", m.changed_by, 256);
}
template <class A>
void fields(A& a, PolicyRequest& m) {
  a("name", m.name, 128);
  a("unprotected", m.rules.unprotected, format::kProtectionRulesMax);
  a("user", m.rules.user, format::kProtectionRulesMax);
  a.if_any("volumes", m.rules.volumes, format::kProtectedVolumesMax);
  a("interval_ms", m.interval_ms);
  a("retention", m.retention);
}
template <class A>
void fields(A& a, PolicyReply& m) {
  a("info", m.info);
  a("devices", m.devices);
}
template <class A>
void fields(A& a, PolicySummary& m) {
  a("name", m.name, 128);
  a("version", m.version);
  a("unprotected", m.unprotected);
  a("user", m.user);
  a.if_any("volumes", m.volumes, format::kProtectedVolumesMax);
  a("interval_ms", m.interval_ms);
  a("changed_ms", m.changed_ms);
  a("changed_by", m.changed_by, 256);
}
template <class A>
void fields(A& a, PolicyAssignment& m) {
  a("device", m.device);
  a("collection", m.collection, 128);
  a("policy", m.policy, 128);
  a("number", m.number);
  a("assigned_ms", m.assigned_ms);
}
template <class A>
void fields(A& a, PolicyList& m) {
  a("policies", m.policies);
  a("assignments", m.assignments);
}
template <class A>
void fields(A& a, PolicyVersions& m) {
  a("versions", m.versions);
}
template <class A>
void fields(A& a, PolicyAssignRequest& m) {
  a("policy", m.policy, 128);
  a("devices", m.devices, kCollectionMax);
  a("collection", m.collection, 128);
}
template <class A>
void fields(A& a, PolicyAssignReply& m) {
  a("devices", m.devices);
  a("policies", m.policies);
}
template <class A>
void fields(A& a, DevicePolicy& m) {
  a("policy", m.policy);
  a("by", m.by, 256);
  a("held", m.held);
  a("retention", m.retention);
}
template <class A>
void fields(A& a, SnoozeRequest& m) {
  a("for_ms", m.for_ms);
}

std::string to_json(const Policy& message) { return write_message(message); }
std::string to_json(const PolicyInfo& message) { return write_message(message); }
std::string to_json(const PolicyRequest& message) { return write_message(message); }
std::string to_json(const PolicyReply& message) { return write_message(message); }
std::string to_json(const PolicySummary& message) { return write_message(message); }
std::string to_json(const PolicyAssignment& message) { return write_message(message); }
std::string to_json(const PolicyList& message) { return write_message(message); }
std::string to_json(const PolicyVersions& message) { return write_message(message); }
std::string to_json(const PolicyAssignRequest& message) { return write_message(message); }
std::string to_json(const PolicyAssignReply& message) { return write_message(message); }
std::string to_json(const DevicePolicy& message) { return write_message(message); }
std::string to_json(const SnoozeRequest& message) { return write_message(message); }
std::string to_json(const Snooze& message) { return write_message(message); }

Result<Policy> parse_policy(std::string_view text) { return read_message<Policy>(text, "policy"); }
Result<PolicyInfo> parse_policy_info(std::string_view text) {
  return read_message<PolicyInfo>(text, "policy");
}
Result<PolicyRequest> parse_policy_request(std::string_view text) {
  return read_message<PolicyRequest>(text, "policy request");
}
Result<PolicyReply> parse_policy_reply(std::string_view text) {
  return read_message<PolicyReply>(text, "policy reply");
}
Result<PolicyAssignment> parse_policy_assignment(std::string_view text) {
  return read_message<PolicyAssignment>(text, "policy assignment");
}
Result<PolicyList> parse_policy_list(std::string_view text) {
  return read_message<PolicyList>(text, "policy list");
}
Result<PolicyVersions> parse_policy_versions(std::string_view text) {
  return read_message<PolicyVersions>(text, "policy versions");
}
Result<PolicyAssignRequest> parse_policy_assign_request(std::string_view text) {
  return read_message<PolicyAssignRequest>(text, "policy assignment request");
}
Result<PolicyAssignReply> parse_policy_assign_reply(std::string_view text) {
  return read_message<PolicyAssignReply>(text, "policy assignment reply");
}
Result<DevicePolicy> parse_device_policy(std::string_view text) {
  return read_message<DevicePolicy>(text, "policy of a device");
}
Result<SnoozeRequest> parse_snooze_request(std::string_view text) {
  return read_message<SnoozeRequest>(text, "snooze request");
}
Result<Snooze> parse_snooze(std::string_view text) { return read_message<Snooze>(text, "snooze"); }

}  // namespace lamina::wire
