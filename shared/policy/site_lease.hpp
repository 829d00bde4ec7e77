// SiteLease decides which device of one site may fetch over the WAN right now.
//
// It is a plain state machine: feed it what members report with the time it happened, and carry
// out the actions it returns. The origin keeps one per site; the simulator runs this very code.
//
// A device that lacks content is a candidate. With no holder, the best candidate is granted the
// lease: one that is fit to serve before one that is not, then the one with the fewest lapsed
// leases in a row, then the fewest missing bytes (it takes over what the site already has), then
// the smallest id. The holder renews; when it has all it wants it gives the lease back, when it
// becomes unfit it hands over to a fit candidate, and when it misses its renewals the lease lapses.
// A device whose lease lapsed is no candidate again before it reports, so a dead one is tried once.
//
// Invariants, checked after every event:
//   - epochs grow with every grant, and only the newest one is ever extended;
//   - nobody is granted a lease before the previous one was given back or has lapsed;
//   - while there is no holder there is no candidate.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <variant>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

class SiteLease {
 public:
  struct Limits {
    // A holder renews each second; five missed renewals shut it out. Measured cost of a death:
    // this and one or two seconds.
    Duration lease = std::chrono::seconds{5};
  };

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
  };
  struct Left {  // A member was moved, rejected, or is gone for good.
    DeviceId device;
  };
  struct Tick {};  // Time passed: call at next_change().
  using Event = std::variant<Reported, Renewed, Left, Tick>;

  // What to do about it, in this order.
  enum class EndReason { done, lapsed, left, unfit };
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
    bool operator==(const Granted&) const = default;
  };
  struct Extended {  // Sign the holder's next token.
    DeviceId device;
    std::uint64_t epoch = 0;
    Instant expires;
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
    bool operator==(const Holder&) const = default;
  };

  // Grants are numbered from `first_epoch` on. An origin that restarts passes one above every
  // epoch it may have granted before: seeders refuse tokens older than the newest they saw.
  SiteLease(Limits limits, std::uint64_t first_epoch);

  // `now` must not be earlier than in the previous call.
  std::vector<Action> on(const Event& event, Instant now);

  // A holder whose lease has run out stays listed until the next event.
  const std::optional<Holder>& holder() const { return holder_; }

  // When to send a Tick if nothing else happens before; nothing: never.
  std::optional<Instant> next_change() const;

 private:
  struct Member {
    Bytes missing;
    int lapses = 0;  // Leases that ran out in a row without a renewal.
    bool candidate = false;
    bool unfit = false;
  };

  void apply(const Reported& reported, Instant now);
  void apply(const Renewed& renewed, Instant now);
  void apply(const Left& left, Instant now);
  void apply(const Tick&, Instant) {}
  void end(EndReason reason);
  void lapse_if_due(Instant now);
  void hand_over_if_unfit();
  void grant_if_free(Instant now);
  void check_invariants() const;

  Limits limits_;
  std::uint64_t next_epoch_;
  Instant last_now_{};
  std::map<DeviceId, Member> members_;  // Ordered: order is behaviour.
  std::optional<Holder> holder_;
  std::vector<Action> actions_;  // Collected while one event is handled.
};

}  // namespace lamina::policy
