// What a device says of itself: the answer to `lamina-node status`, and its figures for metrics.
//
// Pure, but for the sizes and files that it looks at. Loop thread only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "node/net/agent.hpp"
#include "node/net/layer_swarm.hpp"
#include "node/net/line_limits.hpp"
#include "node/net/node_metrics.hpp"
#include "node/net/reflecting.hpp"
#include "node/net/site_memory.hpp"
#include "node/net/uploads.hpp"

namespace lamina::node {

// The parts that there is something to say of; all of them outlive the view.
struct NodeView {
  const StateDirectory& state;
  const NodeConfig& config;
  const Agent* agent = nullptr;         // None: it has not started...
  const Error* worker_error = nullptr;  // ...because of this.
  const std::string& clock_trouble;     // Empty: none.
  const std::map<LayerId, LayerFiles>& layers;
  const SiteMemory& site;
  const std::optional<std::string>& waiting;  // Why the origin has placed it in no site.
  std::size_t heard = 0;              // Devices of the site that said on the LAN where they are.
  std::size_t peers = 0;              // That the device was told to meet...
  std::size_t relays = 0;             // ...and those of them that take uploads.
  const LayerSwarm* swarm = nullptr;  // None: not opened yet.
  wire::ByteCounts received;
  const LineLimits& line;
  bool is_metered = false;
  const Uploads& uploads;
  const Reflecting& reflecting;
  bool is_synchronizing = false;
  std::optional<WallTime> synced_at;
  const wire::Policy& policy;
  const Error* policy_error = nullptr;  // Why the worker did not take a newer one.
  Duration snooze_left{};
  const std::vector<std::string>& restart_due;  // The layers because of which to restart.
};

// One line of JSON for run/node.sock.
std::string status_line(const NodeView& view);
NodeFigures figures_of(const NodeView& view, const net::Loop& loop);
// Of the disk that holds the cache; nothing when it cannot be looked at.
std::optional<wire::DiskSpace> disk_of(const StateDirectory& state);

}  // namespace lamina::node
