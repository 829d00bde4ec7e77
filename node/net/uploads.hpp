// Uploads: which way this device's snapshots take to the origin, and what has become of the one
// that a relay of the site has; and this device as a relay for others.
//
// A snapshot that was handed over is noted in net/handed.json until the origin says that it has it:
// then it is settled (the worker counts its scan). When it got lost it is sent again, directly if
// the origin can be reached. shared/policy/upload_route decides. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "node/net/parcel_sender.hpp"
#include "node/net/synchronization.hpp"
#include "shared/policy/upload_route.hpp"

namespace lamina::node {

class Uploads : public UploadWays {
 public:
  struct Options {
    std::optional<Relay::Options> relay;  // None: this device does not relay.
    policy::HandedLimits handed = {};
    Duration avoid_for = std::chrono::minutes{10};   // A relay that refused or failed.
    Duration door_retry = std::chrono::seconds{30};  // While its port cannot be opened.
  };
  struct Calls {
    std::function<void()> changed;  // Polls have something new to say.
    std::function<void()> lost;     // The handed snapshot is lost: synchronize.
  };

  // What the references name outlives the object. With a directory that cannot be used for it this
  // device does not relay: that is logged.
  static std::unique_ptr<Uploads> open(net::Loop& loop, const StateDirectory& state,
                                       const DeviceId& device, OriginLink& origin,
                                       WorkerLink& worker, Options options, Calls calls);
  ~Uploads() override;

  // --- what the service tells
  // The swarm's certificate is there, or is a new one.
  void use_identity();
  void set_line(bool origin_reachable, bool leads);
  void add_to(wire::PollRequest& request) const;
  void heard(const wire::PollReply& reply);
  // What this device as a relay hands on to others.
  void hand_on(Relay::Page page);
  // The devices of the site, where it is not the origin that names them.
  void meet(const std::vector<wire::Peer>& peers);

  // --- for status
  struct AtSite {
    SnapshotId snapshot;
    std::uint64_t sequence = 0;
    DeviceId relay;
    std::int64_t handed_ms = 0;  // Wall clock.
    std::string state;           // What the origin said last: "at the site", "unknown"; "" nothing.
  };
  const std::optional<AtSite>& at_site() const;
  const Relay* relay() const;  // None: this device does not relay.

  // Called once, with Done when the snapshot that is at the site is protected, or `unavailable`
  // when it got lost and is sent again.
  void when_settled(std::function<void(Status)> call);

  // --- UploadWays
  std::uint64_t sequence_after(std::uint64_t kept) const override;
  bool origin_reachable() const override;
  ParcelSender* relay_for(Bytes size, std::uint64_t sequence) override;
  void relay_failed(const Error& error) override;
  Status handed(const SnapshotId& snapshot, std::uint64_t sequence) override;
  void kept(std::uint64_t sequence) override;

 private:
  struct State;
  explicit Uploads(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
