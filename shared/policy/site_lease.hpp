// SiteLease decides which devices of one site may fetch over the WAN right now, and which of the
// shares (shared/base/share_set.hpp) each of them.
//
// It is a plain state machine: feed it what members report with the time it happened, and carry
// out the actions it returns. The origin keeps one per site; the simulator runs this very code.
//
// A device that lacks content is a candidate. With no holder, the best candidate is granted the
// lease: one that is fit to serve before one that is not, then the one with the fewest lapsed
// leases in a row, then one that the administrator named, then the fewest missing bytes (it takes
// over what the site already has), then the smallest id. The holder renews; when it has all it
// wants it gives the lease back, when it becomes unfit it hands over to a fit candidate, and when
// it misses its renewals the lease lapses. A device whose lease lapsed is no candidate again before
// it reports, so a dead one is tried once; one that reports that it lacks nothing starts clean.
//
// A site may use several reflectors. As long as it has fewer holders, each fit candidate that let
// no lease lapse becomes one too. All aim at the same number of shares:
//   - A holder with more than that, while a newcomer needs some, is told a smaller set when it
//     renews. What it lost is nobody's until it renews in the new epoch: then it has the smaller
//     set, and has shown the seeders a token that shuts out the wider one.
//   - Shares that are nobody's go to a newcomer, else to the holders as they renew.
//   - A holder that has all of its shares while its content is not complete is idle. Another that
//     has `tail` or more left passes half of its shares to it; less is not worth what is then on
//     its way twice. Reflectors on one line share its rate, so that this is for one that is slow.
//   - One that was not named gives way, when it renews, to a named one that came later.
//
// Invariants, checked after every event:
//   - epochs grow with every grant and every change of a set; each holder's is its own;
//   - no share belongs to two holders, counting those that one is still to give up;
//   - a share changes hands only after its holder gave it up in the sense above, gave the lease
//     back, was refused, or has lapsed;
//   - while there is no holder there is no candidate.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/share_set.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

class SiteLease {
 public:
  struct Limits {
    // A holder renews each second; five missed renewals shut it out. Measured cost of a death:
    // this and one or two seconds.
    Duration lease = std::chrono::seconds{5};
    Bytes tail = {16 << 20};  // About what is on its way twice, a few pieces, ten times over.
  };
  static constexpr int kReflectorsMax = 4;

  // What happened.
  struct Reported {  // A member said what it lacks (a poll). Adds the member if it is new.
    DeviceId device;
    Bytes missing;       // Of stored content that it wants. 0: nothing.
    bool unfit = false;  // It should not serve others now: see eligibility.hpp.
  };
  struct Renewed {  // A device asked to keep the lease it holds in `epoch`.
    DeviceId device;
    std::uint64_t epoch = 0;
    Bytes missing;
    // What it still has to fetch of its shares. Absent: not known.
    std::optional<Bytes> left = std::nullopt;
  };
  struct Left {  // A member was moved, rejected, or is gone for good.
    DeviceId device;
  };
  struct Configured {    // From now on. Until then: one reflector, none named.
    int reflectors = 1;  // From 1 to kReflectorsMax.
    std::set<DeviceId> named = {};
  };
  struct Tick {};  // Time passed: call at next_change().
  using Event = std::variant<Reported, Renewed, Left, Configured, Tick>;

  // What to do about it, in this order.
  enum class EndReason { done, lapsed, left, unfit, replaced };
  struct Ended {  // Shut this holder out; its token is worth nothing any more.
    DeviceId device;
    std::uint64_t epoch = 0;
    EndReason reason = EndReason::done;
    bool operator==(const Ended&) const = default;
  };
  struct Granted {  // Sign a token for a new holder and tell it (its waiting poll).
    DeviceId device;
    std::uint64_t epoch = 0;
    Instant expires;
    ShareSet shares = ShareSet::all();
    bool operator==(const Granted&) const = default;
  };
  struct Extended {  // Sign the holder's next token; with other shares it has another epoch.
    DeviceId device;
    std::uint64_t epoch = 0;
    Instant expires;
    ShareSet shares = ShareSet::all();
    bool operator==(const Extended&) const = default;
  };
  struct Refused {  // The device holds no lease in that epoch.
    DeviceId device;
    std::uint64_t epoch = 0;  // The one it asked for.
    bool operator==(const Refused&) const = default;
  };
  using Action = std::variant<Ended, Granted, Extended, Refused>;

  struct Holder {
    DeviceId device;
    std::uint64_t epoch = 0;
    Instant expires;
    ShareSet shares = ShareSet::all();  // Never empty.
    // The epoch before, until the holder renews in this one: an answer may be lost on its way.
    std::optional<std::uint64_t> epoch_before = std::nullopt;
    ShareSet leaving = {};  // Of the epoch before, and not of this one.
  };

  // Epochs are numbered from `first_epoch` on. An origin that restarts passes one above every
  // epoch it may have granted before: seeders refuse tokens older than the newest they saw.
  SiteLease(Limits limits, std::uint64_t first_epoch);

  // `now` must not be earlier than in the previous call.
  std::vector<Action> on(const Event& event, Instant now);

  // By device. One whose lease has run out stays listed until the next event.
  std::vector<Holder> holders() const;
  // Of one device.
  std::optional<Holder> holder(const DeviceId& device) const;

  // When to send a Tick if nothing else happens before; nothing: never.
  std::optional<Instant> next_change() const;

 private:
  struct Member {
    Bytes missing;
    int lapses = 0;  // Leases that ran out in a row without a renewal.
    bool candidate = false;
    bool unfit = false;
  };
  struct State : Holder {
    bool idle = false;     // Has all of its shares, as it said last.
    bool filling = false;  // Was granted fewer shares than it is to have.
  };
  using Holders = std::map<DeviceId, State>;

  void apply(const Reported& reported, Instant now);
  void apply(const Renewed& renewed, Instant now);
  void apply(const Left& left, Instant now);
  void apply(const Configured& configured, Instant now);
  void apply(const Tick&, Instant) {}
  void say(Member& member, Bytes missing);
  Holders::iterator end(Holders::iterator holder, EndReason reason);
  void lapse_if_due(Instant now);
  void hand_over_if_unfit();
  void grant_if_free(Instant now);
  void change_shares(State& holder, ShareSet shares);

  bool is_newcomer(const DeviceId& device, const Member& member) const;
  int newcomers() const;
  int share_aim() const;  // Of each holder, once all that may are holders.
  ShareSet free() const;
  bool is_replaced(const State& holder) const;
  int to_give(const State& holder, std::optional<Bytes> left) const;
  ShareSet to_take(const State& holder) const;
  void check_invariants() const;

  Limits limits_;
  std::uint64_t next_epoch_;
  Instant last_now_{};
  Configured configured_;
  std::map<DeviceId, Member> members_;  // Ordered: order is behaviour.
  Holders holders_;
  std::vector<Action> actions_;  // Collected while one event is handled.
};

}  // namespace lamina::policy
