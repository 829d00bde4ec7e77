// The figures of one device as text for Prometheus, for `lamina-node metrics`. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "shared/base/units.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

// What is not known is absent, and its family has no sample.
struct NodeFigures {
  bool is_running = false;  // The network process has started all of its parts.
  bool is_origin_reachable = false;
  bool holds_lease = false;
  std::optional<wire::ByteCounts> received;
  std::optional<Bytes> sent;  // To the site, since the process started.
  std::optional<Bytes> cache;
  std::optional<Bytes> missing;  // Of the target's layers.
  std::optional<wire::DiskSpace> disk;
  std::optional<std::int64_t> peers_known;
  std::optional<std::int64_t> peers_connected;
  std::optional<bool> is_target_applied;
  std::optional<Duration> target_age;                 // Since the origin signed it.
  std::optional<Duration> sync_age;                   // Since the newest snapshot was kept.
  std::map<std::string, Duration> certificates_left;  // "device", "swarm"; below 0: ended.
};

std::string metrics_text(const NodeFigures& figures);
// What there is to say of a device whose network process does not answer.
std::string metrics_text_of_stopped();

}  // namespace lamina::node
