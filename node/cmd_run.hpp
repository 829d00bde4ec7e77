// `lamina-node run`: the network process, with the reflector's library as its swarm.
#pragma once

#include "node/state.hpp"
#include "shared/base/units.hpp"
#include "shared/policy/wan_transport.hpp"

namespace lamina::node {

struct RunOptions {
  std::string user;                           // Empty: the one of the enrolment.
  std::string swarm_listen = "0.0.0.0:8444";  // Where the site's peers reach this device.
  BitRate wan_receive_max = {};               // 0: no limit.
  std::optional<policy::WanTransport::Kind> wan_transport = std::nullopt;  // None: what works.
  bool metered = false;       // Its link costs by the byte: nothing is sent, nobody served.
  bool serves = true;         // Its site; false: only if nobody else can.
  std::string relay_listen;   // Empty: beside the swarm's port; "off": nowhere.
  std::string beacon_port;    // UDP; empty: the swarm's port and 2; "off": no beacons.
  std::string sys = "/sys";   // Where sysfs is.
  Bytes relay_space = 8_GiB;  // Held for others at most.
  std::optional<Bytes> cache_limit = std::nullopt;  // None: a fifth of the disk.
  // One pack of the cache is read back so often; none: never.
  std::optional<Duration> patrol_every = std::chrono::minutes{1};
  Duration sync_interval = std::chrono::minutes{60};
  std::string record;         // Decisions about the line are written there; empty: nowhere.
  Bytes record_max = 64_MiB;  // Where the record ends.
};

// Goes on as user `asked`, or as `enrolled` when that is empty, if the process is root's. `invalid`
// when that leaves root.
Status give_up_root(const std::string& asked, const std::string& enrolled);

// Gives up root if the process has it, then runs until SIGTERM or SIGINT.
Status run_network(const StateDirectory& state, const RunOptions& options);

}  // namespace lamina::node
