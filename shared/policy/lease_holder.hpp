// LeaseHolder decides, on a device, whether it may fetch over the WAN right now.
//
// It is a plain state machine beside the device's own boot clock: feed it what the origin granted
// and when, and carry out the actions it returns. The lease's end is checked before anything else
// in every call, so that a process that was stopped and continued, or a machine that slept, closes
// its WAN session before it looks at anything that waits there.
//
// Invariants, checked after every event:
//   - while open, the lease has not run out and its epoch is the highest ever seen here;
//   - Open and Close alternate.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "shared/base/units.hpp"

namespace lamina::policy {

class LeaseHolder {
 public:
  // What happened.
  struct Led {  // The origin granted the lease or extended it.
    std::uint64_t epoch = 0;
    Instant expires;
  };
  struct Resigned {};  // Refused, given back, or no longer needed.
  struct Tick {};      // Time passed: call on every turn, and at next_change().
  using Event = std::variant<Led, Resigned, Tick>;

  // What to do about it, in this order.
  enum class CloseReason { lapsed, resigned };
  struct Close {  // Cut the WAN session off now.
    CloseReason reason = CloseReason::lapsed;
    bool operator==(const Close&) const = default;
  };
  struct Open {  // Start a WAN session that shows the lease's token.
    std::uint64_t epoch = 0;
    bool operator==(const Open&) const = default;
  };
  struct Refresh {  // Show the newer token on the session that is open.
    std::uint64_t epoch = 0;
    bool operator==(const Refresh&) const = default;
  };
  using Action = std::variant<Close, Open, Refresh>;

  // `now` must not be earlier than in the previous call. A lease that has run out already, or of an
  // epoch older than the newest seen, is not acted on.
  std::vector<Action> on(const Event& event, Instant now);

  bool is_open() const { return expires_.has_value(); }
  std::uint64_t epoch() const { return epoch_; }
  // When to send a Tick if nothing else happens before; nothing: never.
  std::optional<Instant> next_change() const { return expires_; }

 private:
  void apply(const Led& led, Instant now);
  void apply(const Resigned&, Instant now);
  void apply(const Tick&, Instant) {}
  void close(CloseReason reason);

  Instant last_now_{};
  std::uint64_t epoch_ = 0;         // The newest seen.
  std::optional<Instant> expires_;  // While open.
  std::vector<Action> actions_;     // Collected while one event is handled.
};

}  // namespace lamina::policy
