// Worker: the part of the node that runs as root. It has no network, and believes nothing that the
// network process hands it without a signature or a digest.
//
// Owns the volume's Transaction. One thread; serves one connection after the other.
#pragma once

#include "node/state.hpp"
#include "node/worker/boot_loader.hpp"
#include "node/worker/held_policy.hpp"
#include "node/worker/protocol.hpp"
#include "node/worker/scanner.hpp"
#include "node/worker/services.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/local_socket.hpp"

namespace lamina::node {

// What an apply needs, read from the cache and checked.
struct VerifiedTarget {
  format::DeviceTarget target;
  std::vector<format::LayerRecord> layers;  // Of its stack, in order.
};
// `refused` for a foreign, expired or unsigned target or record; `not_found` names what is missing
// in the cache. The sequence is not judged here.
Result<VerifiedTarget> read_target(const StateDirectory& state, const DeviceId& device,
                                   const TrustedKeys& keys, WallTime now);

class Worker {
 public:
  // Opens the volume of the configuration, finishing what was interrupted. `services` are those of
  // the system that runs from it, `loader` starts it; null: none does. Both outlive the worker.
  static Result<Worker> open(StateDirectory state, const os::Clock& clock,
                             Services* services = nullptr, BootLoader* loader = nullptr);

  // This node works: a start from a changed volume is a good one, and what it takes to go back is
  // given up. To be called once somebody asks it something.
  void came_up();

  // Serves the requests of one connection until it closes.
  void serve(os::LocalConnection& connection);

  WorkerReply status();
  // The origin knows how the target with this sequence was applied, and how the scripts ended that
  // followed it.
  WorkerReply told(std::uint64_t sequence);
  // Refuses while the device's policy cannot be read: what is its users' own is not known then.
  WorkerReply apply(bool dry_run);
  // `dry_run`: says which stack would come back, and changes nothing.
  WorkerReply revert(bool dry_run = false);
  // From now on the device keeps to it; one that is not good leaves the one before.
  WorkerReply take_policy(const wire::Policy& policy);

 private:
  Worker(StateDirectory state, NodeConfig config, TrustedKeys keys, Transaction transaction,
         const os::Clock& clock, Services* services, BootLoader* loader, HeldPolicy policy);

  Result<WorkerReply> try_apply(bool dry_run);
  Result<WorkerReply> foresee_revert(const AppliedState& now,
                                     const std::optional<AppliedState>& before);
  void finish_into(WorkerReply& reply);
  Status stop_services(const std::vector<LayerNeeds>& needs);
  void start_services(std::vector<std::string>& remarks);
  Result<Transaction::Prepared> prepare(Aftermath aftermath, const std::vector<LayerNeeds>& needs,
                                        bool changes, const AppliedState& from,
                                        const AppliedState& to);
  Result<std::vector<std::string>> waits_for(const std::vector<LayerNeeds>& needs,
                                             const AppliedState& from, const AppliedState& to);
  Status restart_due_for(const std::vector<LayerNeeds>& needs, Aftermath& aftermath) const;
  Status scan(const WorkerRequest& request, os::LocalConnection& connection);

  StateDirectory state_;
  NodeConfig config_;
  TrustedKeys keys_;
  Transaction transaction_;
  const os::Clock& clock_;
  Services* services_;
  BootLoader* loader_;
  HeldPolicy policy_;
};

// Runs until the process is ended. Killing it is safe at any time. An error says why it cannot
// start.
Status run_worker(const StateDirectory& state);

}  // namespace lamina::node
