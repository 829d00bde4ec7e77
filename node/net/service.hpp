// Service: the network process of a device. It carries out what the Agent decides, over the
// origin's API, the site's swarm and relays, and the worker's socket, and answers `lamina-node
// status|metrics|sync|revert`.
//
// Runs without root. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "node/net/agent.hpp"
#include "node/net/beacons.hpp"
#include "node/net/fitness.hpp"
#include "node/net/layer_swarm.hpp"
#include "node/net/line_limits.hpp"
#include "node/net/synchronization.hpp"
#include "node/net/uploads.hpp"

namespace lamina::node {

class Service {
 public:
  struct Options {
    std::uint16_t swarm_port = 0;  // What peers are told; 0: this device shares nothing.
    Agent::Limits limits = {};
    Synchronization::Options sync = {};
    Uploads::Options uploads = {};
    std::optional<Beacons::Options> beacons = std::nullopt;  // None: neither sent nor heard.
    Duration worker_retry =
        std::chrono::seconds{1};  // While the worker does not answer at the start.
    // Kept free on the cache's disk beyond what a layer needs.
    Bytes space_reserve = 64_MiB;
    LineLimits::Calendar calendar = LineLimits::Calendar::of_device();  // For bandwidth rules.
    Fitness::Options fitness = {};
    Duration fitness_interval = std::chrono::seconds{10};
    std::optional<Bytes> cache_limit = std::nullopt;  // Of the cache; none: a fifth of the disk.
    std::optional<Duration> patrol_every = std::nullopt;  // Of Reflecting; none: never.
    std::string sys = "/sys";                             // Of read_hardware().
  };

  // Reads the state directory and opens run/node.sock. The Agent starts once the worker has said
  // what is applied. The loop outlives the service.
  static Result<std::unique_ptr<Service>> start(net::Loop& loop, StateDirectory state,
                                                Options options, StartSwarm start_swarm);
  ~Service();

 private:
  struct State;
  explicit Service(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
