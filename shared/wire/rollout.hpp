// What administrators and the origin say to each other about rollouts: layers that reach devices in
// waves (shared/policy/rollout.hpp decides, docs/operator.md explains).
//
// Plain values. Parse rules as in enrol.hpp. Times are milliseconds since 1970 (0: never).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::wire {

struct RolloutShare {  // The first `percent` of a site's devices.
  std::string site;
  int percent = 0;
  bool operator==(const RolloutShare&) const = default;
};

struct RolloutWave {
  std::string name;  // For people; may be empty.
  std::vector<std::string> sites;
  std::vector<DeviceId> devices;
  std::vector<RolloutShare> shares;
  // The gates, as in policy::WaveGates.
  int warm_percent = 0;
  int success_percent = 90;
  int failure_percent = 5;
  std::int64_t soak_ms = 0;
  bool operator==(const RolloutWave&) const = default;
};

// POST /v1/rollouts. Layers as in an AssignmentRequest: the whole stack, base first.
struct RolloutRequest {
  std::string name;
  std::vector<std::string> layers;
  std::optional<std::string> wan_budget;  // Of every assignment that it makes. Absent: never.
  int sites_at_once = 10;                 // That fetch it over their lines at the same time.
  std::vector<RolloutWave> waves;
  bool operator==(const RolloutRequest&) const = default;
};

struct RolloutWaveState {
  std::string step;  // "untouched", "staged", "begun"
  std::int64_t devices = 0;
  std::int64_t succeeded = 0;
  std::int64_t failed = 0;
  std::int64_t sites = 0;
  std::int64_t warm_sites = 0;
  std::optional<std::int64_t> began_ms = std::nullopt;  // Absent: not yet, or not known.
};

struct RolloutInfo {
  RolloutRequest plan;
  std::string phase;        // "planned", "running", "paused", "stopped", "done"
  std::string waits_for;    // policy::Rollout::Waits
  std::string stop_reason;  // "none", "failures", "administrator", "unassignable"
  std::string text;         // What it waits for, or why it stopped, in words.
  int current = 0;          // The wave, from 0.
  std::int64_t created_ms = 0;
  std::int64_t started_ms = 0;
  std::int64_t ended_ms = 0;
  std::int64_t success_since_ms = 0;  // Of the current wave.
  std::vector<RolloutWaveState> waves;
  std::vector<std::string> admitted;    // Sites that fetch it over their lines now.
  std::int64_t sites_waiting = 0;       // For admission.
  std::vector<std::string> next_sites;  // The first of those.
};
struct RolloutList {
  std::vector<RolloutInfo> rollouts;
};

struct RolloutDevice {
  DeviceId device;
  std::string site;
  int wave = 0;
  std::string outcome;                // "open", "succeeded", "failed"; "left": counts no more.
  bool holds = false;                 // Every layer, in its cache.
  std::uint64_t target_sequence = 0;  // That the rollout gave it last.
  std::string text;                   // Why it failed or left.
  // When the origin learned of the outcome. Absent: open, or not known.
  std::optional<std::int64_t> outcome_ms = std::nullopt;
  // What it received for the rollout, by kByteSources, as it reported. Absent: it did not.
  std::optional<std::map<std::string, std::int64_t>> bytes_by_source = std::nullopt;
};
struct RolloutDetail {  // GET /v1/rollouts/{name}
  RolloutInfo rollout;
  std::vector<RolloutDevice> devices;
};

std::string to_json(const RolloutRequest& message);
std::string to_json(const RolloutInfo& message);
std::string to_json(const RolloutList& message);
std::string to_json(const RolloutDevice& message);
std::string to_json(const RolloutDetail& message);

Result<RolloutRequest> parse_rollout_request(std::string_view text);
Result<RolloutInfo> parse_rollout_info(std::string_view text);
Result<RolloutList> parse_rollout_list(std::string_view text);
Result<RolloutDevice> parse_rollout_device(std::string_view text);
Result<RolloutDetail> parse_rollout_detail(std::string_view text);

}  // namespace lamina::wire
