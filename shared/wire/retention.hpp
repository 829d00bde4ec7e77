// What administrators and the origin say to each other about how long snapshots are kept
// (shared/policy/retention.hpp decides) and which go.
//
// Plain values. Parse rules as in enrol.hpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::wire {

inline constexpr int kRetentionMax = 1'000'000;  // Of every level.

// As policy::RetentionRule.
struct RetentionRule {
  int newest = 0;
  int hourly = 0;
  int daily = 0;
  int weekly = 0;
  int monthly = 0;
  bool operator==(const RetentionRule&) const = default;
};

// PUT /v1/retention.
struct RetentionRequest {
  std::optional<DeviceId> device;     // Absent: of all devices that have none of their own.
  std::optional<RetentionRule> rule;  // Absent: there is none any more.
};
struct DeviceRetention {
  DeviceId device;
  RetentionRule rule;
};
struct RetentionSettings {               // GET /v1/retention
  std::optional<RetentionRule> rule;     // Absent: snapshots are kept for ever...
  std::vector<DeviceRetention> devices;  // ...but of these, which have a rule of their own.
};

// POST /v1/cvds/{device}/forget
struct ForgetRequest {
  std::optional<SnapshotId> snapshot;  // Absent: those that the device's rule does not keep.
  bool dry_run = false;
};
struct JudgedSnapshot {
  SnapshotInfo snapshot;
  std::vector<std::string> kept_as;  // Names of policy::RetentionLevel; none: it goes.
};
struct ForgetReply {
  bool dry_run = false;                   // Nothing was changed.
  std::vector<JudgedSnapshot> snapshots;  // That were looked at, the newest first.
};

std::string to_json(const RetentionRequest& message);
std::string to_json(const RetentionRule& message);
std::string to_json(const RetentionSettings& message);
std::string to_json(const ForgetRequest& message);
std::string to_json(const ForgetReply& message);

Result<RetentionRequest> parse_retention_request(std::string_view text);
Result<RetentionRule> parse_retention_rule(std::string_view text);
Result<RetentionSettings> parse_retention_settings(std::string_view text);
Result<ForgetRequest> parse_forget_request(std::string_view text);
Result<ForgetReply> parse_forget_reply(std::string_view text);

}  // namespace lamina::wire
