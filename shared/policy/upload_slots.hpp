// UploadSlots decides which devices of a site this node serves right now, when more ask than it can
// serve well.
//
// A slot goes to the device that has waited longest. Who has one keeps it while nobody waits;
// otherwise it gives way when it has taken nothing for `stall_after`, or when it had the slot for a
// whole `turn`: with few slots and many devices all of them get their share. A device that lost its
// slot waits behind those that wait already.
//
// It is a plain state machine: feed it what happened with the time, and carry out the actions it
// returns. An event costs O(log devices).
//
// Invariants, checked after every event:
//   - at most `limits.slots` devices hold a slot;
//   - a device waits only while every slot is taken.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

class UploadSlots {
 public:
  struct Limits {
    std::size_t slots = 8;
    // A peer asks again within its request time-out (8 s): one that took nothing for longer than
    // that is gone or busy elsewhere.
    Duration stall_after = std::chrono::seconds{10};
    Duration turn = std::chrono::seconds{30};
  };

  // What happened.
  struct Asked {  // The device wants something that this node has. Again: no change.
    DeviceId device;
  };
  struct Sent {  // At least one block went out to it.
    DeviceId device;
  };
  struct Left {  // It wants nothing more, or is gone.
    DeviceId device;
  };
  struct Tick {};  // Time passed: call at next_change().
  using Event = std::variant<Asked, Sent, Left, Tick>;

  // What to do about it, in this order.
  struct Revoke {
    DeviceId device;
    bool operator==(const Revoke&) const = default;
  };
  struct Grant {
    DeviceId device;
    bool operator==(const Grant&) const = default;
  };
  using Action = std::variant<Revoke, Grant>;

  // At least one slot.
  explicit UploadSlots(Limits limits);

  // `now` must not be earlier than in the previous call.
  std::vector<Action> on(const Event& event, Instant now);

  // When to send a Tick if nothing else happens before; nothing: never.
  std::optional<Instant> next_change() const;

  bool is_served(const DeviceId& device) const;
  std::size_t serving() const { return by_end_.size(); }
  std::size_t waiting() const { return queue_.size(); }

 private:
  struct Device {
    std::optional<std::uint64_t> ticket;  // While it waits; the smallest is next.
    Instant granted;                      // While it has a slot.
    Instant progress;
  };
  using Devices = std::map<DeviceId, Device>;

  void apply(const Asked& asked, Instant now);
  void apply(const Sent& sent, Instant now);
  void apply(const Left& left, Instant now);
  void apply(const Tick&, Instant) {}
  void queue(Devices::iterator device);
  Instant end_of(const Device& device) const;  // Of its right to the slot, if others wait.
  void make_room(Instant now);
  void fill_free_slots(Instant now);
  void check_invariants() const;

  Limits limits_;
  Instant last_now_{};
  std::uint64_t next_ticket_ = 0;
  Devices devices_;
  std::map<std::uint64_t, DeviceId> queue_;        // By ticket.
  std::set<std::pair<Instant, DeviceId>> by_end_;  // Those that are served.
  std::vector<Action> actions_;                    // Collected while one event is handled.
};

}  // namespace lamina::policy
