// Agent decides what the network process of a device does next: when to poll, what to fetch, when
// to ask the worker to apply, when the site's lease is held, when certificates are renewed.
//
// A plain state machine: feed it what happened and when; carry out what it returns. It owns no
// socket, file, timer or clock. node/net/service.cpp carries the actions out.
//
// Invariants, checked after every event:
//   - at most one long and one quick poll are under way;
//   - an apply is asked for only when every layer of the target's stack is complete, one at a time;
//   - nothing is led (fetched over the WAN) without a lease that has not run out, nor while a
//     bandwidth rule forbids it.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "shared/format/record.hpp"
#include "shared/policy/decision_log.hpp"
#include "shared/policy/reflector_role.hpp"
#include "shared/policy/retry.hpp"
#include "shared/policy/wan_budget.hpp"
#include "shared/policy/wan_transport.hpp"
#include "shared/wire/node.hpp"

namespace lamina::node {

class Agent {
 public:
  struct Limits {
    Duration lease_renewal = std::chrono::seconds{1};
    // A certificate is renewed when less than this share of a week is left: a device that is off
    // for a long weekend still comes back with a valid one.
    Duration renew_ahead = std::chrono::hours{4 * 24};
    Duration swarm_renew_ahead = std::chrono::hours{10 * 24};
    Duration renew_again = std::chrono::minutes{10};  // After one that is due as it comes.
    Duration sync_interval = std::chrono::minutes{60};
    // A budget of bytes is used when the site has had no holder of its lease for so long: longer
    // than a lease takes to move (5 s and a poll).
    Duration budget_patience = std::chrono::seconds{10};
    // The devices of a site that get the same target together fetch its records in turns, each in
    // another order for another layer: those of the first ones are at the site when the others
    // look. They take 0.14 s over 20 Mbit/s and 40 ms, 0.4 s on a machine with thirty devices: 21
    // of those then asked the site (m).
    Duration records_turn = std::chrono::milliseconds{50};
    Duration records_turns_max = std::chrono::seconds{2};
    policy::Backoff backoff = {};
    policy::DecisionLog* record = nullptr;  // Of what the WAN budget allows; outlives this.
    // How the line is used by the device's own rule, which comes before its site's; none: by that.
    std::optional<policy::WanTransport::Kind> transport = std::nullopt;
  };

  // What the device is, and what it remembers from before a restart.
  struct Memory {
    DeviceId device;
    PublicKey target_key;
    Buffer target;  // The newest signed target; empty: none yet.
    std::uint64_t applied_sequence = 0;
    std::vector<LayerId> applied;
    std::uint16_t swarm_port = 0;
    Instant certificate_expires;  // On the loop's timeline.
    std::optional<Instant> swarm_certificate_expires;
    Duration target_age{};    // Since the origin issued the target.
    Bytes budget_spent;       // Of the target's WAN budget.
    std::uint64_t waits = 0;  // As of ApplyWaits.
    // The other devices of its site by the last signed list; none: it is in no site.
    std::optional<std::vector<wire::Peer>> site = std::nullopt;
  };

  // What happened.
  enum class PollKind { waiting, quick };
  struct Polled {
    PollKind kind = PollKind::waiting;
    wire::PollReply reply;
    std::string local_address;  // Of this connection: where the site reaches the device.
  };
  struct PollFailed {
    PollKind kind = PollKind::waiting;
    std::uint64_t random = 0;  // Uniform in 64 bits, for the jitter.
  };
  struct RecordsFetched {  // Record, distribution and torrent of a layer are on disk, verified.
    LayerId layer;
    Bytes missing;          // Of the packs that it needs.
    bool is_fresh = false;  // Some of these it would not need with an earlier layer.
    // Some are of the update from this one.
    std::optional<LayerId> update = std::nullopt;
  };
  struct PacksNeeded {  // More of the layer's packs than before, for the site: it is being fetched.
    LayerId layer;
    Bytes missing;
  };
  struct RecordsFailed {
    LayerId layer;
    std::uint64_t random = 0;
  };
  struct LayerProgress {
    LayerId layer;
    Bytes missing;
  };
  struct LayerComplete {  // Every needed pack is on disk, verified and synced.
    LayerId layer;
  };
  struct LayerLost {  // Its records or packs proved unusable: from the records again, after a
                      // while.
    LayerId layer;
    std::uint64_t random = 0;
  };
  struct LeaseRenewed {
    wire::LeaseReply reply;
  };
  struct LeaseLost {};    // Refused by the origin.
  struct LeaseFailed {};  // No answer: the lease runs on until it ends by itself.
  struct BudgetGranted {
    wire::LeaseReply reply;
  };
  struct BudgetFailed {  // No answer, or a refusal: asked again after a while.
    std::uint64_t random = 0;
  };
  struct BudgetSpent {  // Payload over the line on the budget of the target.
    Bytes spent;
  };
  struct WanTransportChanged {  // How the line is used while a lease is held; at first by the
                                // swarm.
    bool to_https = false;
  };
  struct RuleChanged {  // What a bandwidth rule forbids from now on; its limits are not the
                        // Agent's.
    bool no_download = false;
    bool no_upload = false;
  };
  struct Settled {  // What administrators let the device do for its site.
    policy::ReflectorDuties duties;
  };
  struct Hurry {};  // What waits for its next try is tried now.
  struct Applied {
    std::uint64_t sequence = 0;
  };
  struct ApplyWaits {  // The worker carries the target out at the next start of the device.
    std::uint64_t sequence = 0;
  };
  struct ApplyFailed {
    std::uint64_t sequence = 0;
    bool again = false;  // May help: space, a busy worker.
    std::uint64_t random = 0;
  };
  struct Reverted {  // The worker undid the last apply; the device stays so until a newer target.
    std::vector<LayerId> applied;
  };
  struct Renewed {
    bool swarm = false;  // Which certificate.
    Instant expires;
  };
  struct RenewFailed {
    bool swarm = false;
    std::uint64_t random = 0;
  };
  struct Looked {  // At the machine: why it should not serve its site; nothing: it may.
    std::optional<std::string> unfit;
  };
  struct IntervalChanged {  // Of snapshots, by the device's policy; none: its own.
    std::optional<Duration> interval;
  };
  struct Snoozed {  // No snapshot by the interval for so long from now on.
    Duration duration;
  };
  struct SyncRequested {};
  struct SyncEnded {};
  struct PeersFound {  // Where the site itself knows its devices to be: it counts while the origin
                       // does not answer. Devices that it does not name stay where they were.
    std::vector<wire::Peer> peers;
  };
  struct Changed {};  // Others add to the polls' requests: they have something new.
  struct Tick {};     // Time passed: call at next_change(), and once at the start.
  using Event =
      std::variant<Polled, PollFailed, RecordsFetched, RecordsFailed, PacksNeeded, LayerProgress,
                   LayerComplete, LayerLost, LeaseRenewed, LeaseLost, LeaseFailed, BudgetGranted,
                   BudgetFailed, BudgetSpent, WanTransportChanged, RuleChanged, Settled, Hurry,
                   Applied, ApplyWaits, ApplyFailed, Reverted, Renewed, RenewFailed, Looked,
                   IntervalChanged, Snoozed, SyncRequested, SyncEnded, PeersFound, Changed, Tick>;

  // What to do about it, in this order.
  struct Poll {
    PollKind kind = PollKind::waiting;
    wire::PollRequest request;
  };
  struct KeepTarget {  // Write it down before acting on it.
    Buffer target;
  };
  struct RefuseTarget {  // Log and report; the old one stays.
    std::string why;
  };
  struct FetchRecords {
    LayerId layer;
  };
  struct Join {  // Fetch and share the layer's packs in the site's swarm.
    LayerId layer;
  };
  struct Leave {
    LayerId layer;
  };
  struct MeetPeers {  // All peers that there are; others are shut out.
    std::vector<wire::Peer> peers;
  };
  struct Lead {  // Fetch over the WAN, or go on with a fresh token.
    Buffer token;
    std::uint64_t epoch = 0;
    Instant expires;
    std::vector<std::string> seeders;
    bool by_budget = false;             // On the target's WAN budget, not the site's lease.
    ShareSet shares = ShareSet::all();  // Other reflectors of the site fetch the rest.
    std::optional<Bytes> most;          // Of payload from now on; none: no bound.
  };
  struct Resign {};      // Drop the WAN session now.
  struct UseTransport {  // The rule about the line from now on; none: as found.
    std::optional<policy::WanTransport::Kind> only;
  };
  struct RenewLease {
    wire::LeaseRequest request;
  };
  struct AskBudget {  // For the lease of the WAN budget, or its renewal.
    wire::BudgetRequest request;
  };
  struct Apply {
    Buffer target;
    std::uint64_t sequence = 0;
  };
  struct Renew {
    bool swarm = false;
  };
  struct Sync {
    std::string reason;  // "interval", "request" or "before-apply".
  };
  struct StopSync {};  // The one under way, which nobody asked for.
  using Action =
      std::variant<Poll, KeepTarget, RefuseTarget, FetchRecords, Join, Leave, MeetPeers,
                   UseTransport, Lead, Resign, RenewLease, AskBudget, Apply, Renew, Sync, StopSync>;

  // A remembered target that does not verify is treated as none.
  Agent(Limits limits, Memory memory, std::string node_version, Instant now);

  // `now` must not be earlier than in the previous call.
  std::vector<Action> on(const Event& event, Instant now);

  // When to send a Tick if nothing else happens before.
  std::optional<Instant> next_change() const;

  // Why the origin takes no snapshots of this device, as it said. None: it takes them.
  const std::optional<std::string>& uploads_wait() const { return uploads_wait_; }
  // For `status`.
  wire::DeviceStatus status() const { return status_; }
  const std::optional<format::DeviceTarget>& target() const { return target_; }
  std::uint64_t applied_sequence() const { return memory_.applied_sequence; }
  const std::vector<LayerId>& applied() const { return memory_.applied; }
  bool leads() const { return lease_ && !lease_->by_budget; }
  // The target is staged, and is carried out at the next start of the device.
  bool is_waiting_for_restart() const;
  // What it fetches for its site; empty: nothing.
  ShareSet shares() const { return leads() ? lease_->shares : ShareSet(); }
  // Where what is missing of a layer comes from, or what it waits for: "local-cache", "lan-peer",
  // "origin-by-lease", "origin-by-budget", "origin-by-https" (on either, by ranges from the API,
  // because no seeder can be reached), "swarm-by-rule" and "https-by-rule" (on either, the way that
  // administrators settled), "waiting-for-records", "waiting-for-lease",
  // "waiting-for-reflector" (none is appointed at this site), "waiting-for-budget" (used up),
  // "waiting-for-resume" (this device is suspended, and no other one fetches),
  // "waiting-for-rule" (a bandwidth rule lets this device fetch nothing now),
  // "waiting-for-admission" (other sites of the layer's rollout come first), "waiting-for-clock"
  // (this computer's clock is ahead of every certificate), "waiting-for-site" (the origin has
  // placed the device in none), "waiting-for-restart" (complete, and carried out at the next start
  // of the device), "waiting-for-origin" (it does not answer, and no device of the site
  // is known).
  std::string_view reason(const LayerId& layer) const;
  const std::optional<std::string>& unfit() const { return unfit_; }
  Duration sync_interval() const { return sync_interval_.value_or(limits_.sync_interval); }
  bool origin_reachable() const { return poll_failures_ == 0 && heard_; }
  struct Layer {
    enum class Phase { records, fetching, complete };
    Phase phase = Phase::records;
    Bytes missing;
    bool is_fresh = false;
    std::optional<LayerId> update;
    int failures = 0;
    bool asked = false;  // Its records are being fetched.
    Instant again{};
  };
  const std::map<LayerId, Layer>& layers() const { return layers_; }  // Staged ones too.

 private:
  struct Lease {
    std::uint64_t epoch = 0;
    Instant expires;
    Instant renew_at;
    bool renewing = false;
    bool by_budget = false;
    ShareSet shares = ShareSet::all();
  };
  struct Certificate {
    std::optional<Instant> expires;
    Duration ahead{};
    Instant again{};
    int failures = 0;
    bool renewing = false;
  };

  void apply(const Polled& polled, Instant now);
  void apply(const PollFailed& failed, Instant now);
  void apply(const RecordsFetched& fetched, Instant now);
  void apply(const RecordsFailed& failed, Instant now);
  void apply(const PacksNeeded& needed, Instant now);
  void apply(const LayerProgress& progress, Instant now);
  void apply(const LayerComplete& complete, Instant now);
  void apply(const LayerLost& lost, Instant now);
  void apply(const LeaseRenewed& renewed, Instant now);
  void apply(const LeaseLost&, Instant now);
  void apply(const LeaseFailed&, Instant now);
  void apply(const BudgetGranted& granted, Instant now);
  void apply(const BudgetFailed& failed, Instant now);
  void apply(const BudgetSpent& spent, Instant now);
  void apply(const WanTransportChanged& changed, Instant now);
  void apply(const RuleChanged& rule, Instant now);
  void apply(const Settled& settled, Instant now);
  void apply(const Hurry&, Instant now);
  void apply(const Applied& applied, Instant now);
  void apply(const ApplyWaits& waits, Instant now);
  void apply(const ApplyFailed& failed, Instant now);
  void apply(const Reverted& reverted, Instant now);
  void apply(const Renewed& renewed, Instant now);
  void apply(const RenewFailed& failed, Instant now);
  void apply(const Looked& looked, Instant now);
  void apply(const IntervalChanged& changed, Instant now);
  void apply(const Snoozed& snoozed, Instant now);
  void apply(const SyncRequested&, Instant now);
  void apply(const SyncEnded&, Instant now);
  void apply(const PeersFound& found, Instant now);
  void apply(const Changed&, Instant) { news_ = true; }
  void apply(const Tick&, Instant) {}

  Result<format::DeviceTarget> verify(const Buffer& target) const;
  void meet(const std::vector<wire::Peer>& peers);
  void take_target(const Buffer& bytes);
  void follow(const format::DeviceTarget& target);
  Duration records_wait(const LayerId& layer) const;
  void take_lease(const std::optional<wire::LeaseView>& lease, Instant now);
  void take_transport(const std::optional<std::string>& rule);
  void hold(const wire::LeaseView& lease, bool by_budget, Instant now);
  void drop_lease();
  policy::WanBudget budget() const;           // Of the target.
  std::optional<Instant> budget_due() const;  // None: the target has no budget left.
  bool is_complete() const;                   // The stack, not what is staged.
  bool is_apply_wanted() const;
  bool may_upload() const { return !rule_.no_upload && !uploads_wait_; }
  std::vector<wire::Want> wants() const;
  wire::PollRequest poll_request(PollKind kind) const;
  std::vector<wire::LayerState> layer_states() const;
  void advance(Instant now);  // Everything that is due.
  void check_invariants(Instant now) const;

  Limits limits_;
  Memory memory_;
  std::string node_version_;
  Instant last_now_{};
  wire::DeviceStatus status_ = wire::DeviceStatus::pending;
  bool heard_ = false;
  std::optional<format::DeviceTarget> target_;
  std::map<LayerId, Layer>
      layers_;  // Of the target's stack and stage. Ordered: order is behaviour.
  std::uint64_t site_version_ = 0;
  std::vector<wire::Peer> peers_;
  bool is_met_ = false;  // They were handed out.
  std::string lan_address_;
  std::int64_t wait_ms_ = 0;

  bool waiting_poll_ = false;
  bool quick_poll_ = false;
  bool news_ = false;  // The origin does not know yet what this device wants or has.
  int poll_failures_ = 0;
  Instant poll_again_{};

  std::optional<Lease> lease_;
  bool over_https_ = false;  // How the line is used, while a lease is held...
  std::optional<policy::WanTransport::Kind> transport_;  // ...and how by rule; none: as found.
  bool site_has_holder_ = false;                         // Another device.
  bool appoint_ = true;
  RuleChanged rule_;  // In force.
  policy::ReflectorDuties duties_;
  bool clock_is_wrong_ = false;
  std::set<LayerId> withheld_;
  std::optional<std::string> unfit_;
  Instant wanting_since_{};  // Nobody of the site fetches what this device lacks.
  Instant target_issued_{};  // Of the target, on this timeline.
  bool asking_budget_ = false;
  int budget_failures_ = 0;
  Instant budget_again_{};
  bool applying_ = false;
  bool held_back_ = false;  // Reverted or failed for good: wait for a newer target.
  int apply_failures_ = 0;
  Instant apply_again_{};
  Certificate api_certificate_;
  Certificate swarm_certificate_;
  bool syncing_ = false;
  bool syncing_by_interval_ = false;
  bool sync_stopped_ = false;
  bool sync_requested_ = false;
  std::optional<std::string> uploads_wait_;
  // The target before which a snapshot was tried: one that fails does not hold an apply back, which
  // can be reverted.
  std::uint64_t protected_sequence_ = 0;
  std::optional<Duration> sync_interval_;  // By policy.
  Instant sync_from_;                      // When the interval began.
  Instant sync_at_;
  Instant snoozed_until_{};
  std::vector<Action> actions_;  // Collected while one event is handled.
};

}  // namespace lamina::node
