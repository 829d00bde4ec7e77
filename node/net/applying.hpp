// Applying: has the worker put the target's stack onto the volume, says what has become of it, and
// looks for damaged packs where the worker found bytes that are not what they must be.
//
// Loop thread only; packs are read back in the loop's pool.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "node/net/agent.hpp"
#include "node/net/layer_files.hpp"
#include "node/net/outcome.hpp"
#include "node/net/worker_link.hpp"

namespace lamina::node {

class Applying : public std::enable_shared_from_this<Applying> {
 public:
  // Called from the loop.
  struct Calls {
    // The transaction of a stack of so many stored bytes is over: what it cost by source.
    std::function<std::map<std::string, std::int64_t>(Bytes stored)> close_transaction;
    std::function<void(Outcome)> report;
    std::function<void(const LayerId&)> lose;  // Packs of the layer were damaged.
    // `restart_due`: the layers because of which the device has to be restarted.
    std::function<void(const Agent::Applied&, const std::vector<std::string>& restart_due)> applied;
    std::function<void(const Agent::ApplyWaits&, const std::vector<std::string>& restart_due)>
        waits;
    std::function<void(const Agent::ApplyFailed&)> failed;
  };

  // `layers`: those with records on disk. What is referred to outlives the object.
  static std::shared_ptr<Applying> make(net::Loop& loop, const StateDirectory& state,
                                        WorkerLink& worker,
                                        const std::map<LayerId, LayerFiles>& layers, Calls calls);

  // The target with this sequence, which is on disk. Ends with `applied`, `waits` or `failed`,
  // later.
  void apply(std::uint64_t sequence);

 private:
  Applying(net::Loop& loop, const StateDirectory& state, WorkerLink& worker,
           const std::map<LayerId, LayerFiles>& layers, Calls calls)
      : loop_(loop), state_(state), worker_(worker), layers_(layers), calls_(std::move(calls)) {}

  void succeeded(std::uint64_t sequence, const WorkerReply& reply, std::int64_t started_ms);
  void failed(std::uint64_t sequence, const Error& error, std::int64_t started_ms);
  void check_packs(std::uint64_t sequence);
  Bytes stored_size(const std::vector<LayerId>& stack) const;

  net::Loop& loop_;
  const StateDirectory& state_;
  WorkerLink& worker_;
  const std::map<LayerId, LayerFiles>& layers_;
  Calls calls_;
};

// What the worker did while nobody listened, or what the origin was not told of before this process
// started, as the worker says when it is asked for its status: the oldest first.
std::vector<Outcome> untold_outcomes(const WorkerReply& status, std::int64_t now_ms);

}  // namespace lamina::node
