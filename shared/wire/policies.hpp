// What administrators and the origin say to each other about policies: what there is of them, and
// which devices have which.
//
// Plain values. Parse rules as in enrol.hpp. Times are milliseconds since 1970.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/wire/policy.hpp"
#include "shared/wire/retention.hpp"

namespace lamina::wire {

// One version of a policy, as it was made.
struct PolicyInfo {  // GET /v1/policies/{name}, GET /v1/policies/{name}/versions/{number}
  Policy policy;
  // Of the snapshots of devices that have no rule of their own. Absent: the rule for all counts.
  std::optional<RetentionRule> retention = std::nullopt;
  std::int64_t changed_ms = 0;
  std::string changed_by;  // "admin:NAME"
};

// POST /v1/policies: makes the policy, or its next version; what is so already is no change.
struct PolicyRequest {
  std::string name;
  format::ProtectionRules rules;  // Fields "unprotected", "user", "volumes".
  std::optional<std::int64_t> interval_ms = std::nullopt;
  std::optional<RetentionRule> retention = std::nullopt;
};
struct PolicyReply {
  PolicyInfo info;
  std::vector<DeviceId> devices;  // Those that get it, ascending.
};

struct PolicySummary {
  std::string name;
  std::uint64_t version = 0;
  std::int64_t unprotected = 0;  // Rules.
  std::int64_t user = 0;
  std::vector<std::string> volumes = {};
  std::optional<std::int64_t> interval_ms = std::nullopt;
  std::int64_t changed_ms = 0;
  std::string changed_by;
};

// Who has which policy: a device by itself, or all in a collection.
struct PolicyAssignment {
  std::optional<DeviceId> device = std::nullopt;
  std::optional<std::string> collection = std::nullopt;
  std::string policy;
  // Of assignments to collections: the highest of those that a device is in counts.
  std::uint64_t number = 0;
  std::int64_t assigned_ms = 0;
};

struct PolicyList {                           // GET /v1/policies
  std::vector<PolicySummary> policies;        // The newest version of each.
  std::vector<PolicyAssignment> assignments;  // Those of devices first; then the order that counts.
};
struct PolicyVersions {                 // GET /v1/policies/{name}/versions
  std::vector<PolicySummary> versions;  // The oldest first.
};

// POST /v1/policies/assign and /v1/policies/unassign (where `policy` is left out): devices, or a
// collection.
struct PolicyAssignRequest {
  std::optional<std::string> policy =
      std::nullopt;  // "factory": no policy, in whatever collection.
  std::vector<DeviceId> devices;
  std::optional<std::string> collection = std::nullopt;
};
struct PolicyAssignReply {
  std::vector<DeviceId> devices;      // Those whose policy is another one now, ascending...
  std::vector<std::string> policies;  // ...and the names of these, in the same order.
};

struct DevicePolicy {  // GET /v1/devices/{id}/policy
  Policy policy;       // The one that counts for the device.
  std::string by;      // "device", "collection NAME", or "factory": nobody assigned one.
  // Whether the device said that it has it. Absent: it said nothing since the origin started.
  std::optional<bool> held = std::nullopt;
  std::optional<RetentionRule> retention = std::nullopt;  // By the policy.
};

// POST /v1/devices/{id}/snooze: answered with the Snooze.
struct SnoozeRequest {
  std::int64_t for_ms = 0;  // At most kSnoozeMax; 0 ends one, also one of the device's user.
};

std::string to_json(const PolicyInfo& message);
std::string to_json(const PolicyRequest& message);
std::string to_json(const PolicyReply& message);
std::string to_json(const PolicySummary& message);
std::string to_json(const PolicyAssignment& message);
std::string to_json(const PolicyList& message);
std::string to_json(const PolicyVersions& message);
std::string to_json(const PolicyAssignRequest& message);
std::string to_json(const PolicyAssignReply& message);
std::string to_json(const DevicePolicy& message);
std::string to_json(const SnoozeRequest& message);
std::string to_json(const Snooze& message);

Result<PolicyInfo> parse_policy_info(std::string_view text);
Result<PolicyRequest> parse_policy_request(std::string_view text);
Result<PolicyReply> parse_policy_reply(std::string_view text);
Result<PolicyAssignment> parse_policy_assignment(std::string_view text);
Result<PolicyList> parse_policy_list(std::string_view text);
Result<PolicyVersions> parse_policy_versions(std::string_view text);
Result<PolicyAssignRequest> parse_policy_assign_request(std::string_view text);
Result<PolicyAssignReply> parse_policy_assign_reply(std::string_view text);
Result<DevicePolicy> parse_device_policy(std::string_view text);
Result<SnoozeRequest> parse_snooze_request(std::string_view text);
Result<Snooze> parse_snooze(std::string_view text);

}  // namespace lamina::wire
