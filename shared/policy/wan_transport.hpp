// WanTransport decides how a lease holder's pieces cross the WAN: from the swarm's seeders, or,
// where none can be reached, as ranges over the API's port (HTTPS).
//
// The swarm comes first, because one seeder of several may die and its connections yield to other
// traffic. When no seeder offered anything for `patience` although something was wanted, ranges
// take over; a seeder that can be reached takes it back at once. What the last lease ended with is
// what the next one begins with: a port that was closed a second ago is closed still.
//
// Deterministic; no clock, no I/O. Not thread-safe; all calls come from one event loop.
#pragma once

#include <optional>
#include <string_view>

#include "shared/base/units.hpp"

namespace lamina::policy {

class WanTransport {
 public:
  enum class Kind { swarm, https };

  struct Limits {
    // The first payload came 0.6 to 1.1 s after the call (m). A seeder that takes longer, behind a
    // long or a lossy line, finds some pieces fetched already and no piece twice.
    Duration patience = std::chrono::milliseconds{1500};
    std::optional<Kind> only = std::nullopt;  // By the administrator's rule; none: as found.
  };

  // What was seen. Say it about once a second while a lease is held.
  struct Seen {
    bool knows_seeders = false;  // The lease names some.
    bool is_offered = false;     // By a seeder: it is connected and has pieces.
    bool is_wanted = false;      // Some piece is to cross the WAN.
  };
  enum class Reason { rule, no_seeder_known, no_seeder_reached, seeder_reached };
  struct Change {
    Kind to = Kind::swarm;
    Reason why = Reason::seeder_reached;
    bool operator==(const Change&) const = default;
  };

  WanTransport() : WanTransport(Limits()) {}
  explicit WanTransport(Limits limits) : limits_(limits) {}

  // A lease began: seeders are dialled from now on.
  void begin(Instant now) { waiting_since_ = now; }
  // An administrator's rule from now on; none: as found. The next on() follows it.
  void rule(std::optional<Kind> only) { limits_.only = only; }
  // The change that follows, if any. `now` must not be earlier than in the previous call.
  std::optional<Change> on(const Seen& seen, Instant now);

  Kind kind() const { return kind_; }
  // Whether seeders may be called at all.
  bool may_dial() const { return limits_.only != Kind::https; }

 private:
  std::optional<Change> change_to(Kind kind, Reason why);

  Limits limits_;
  Kind kind_ = Kind::swarm;
  Instant waiting_since_{};  // Something is wanted and nothing offered.
};

// "swarm", "https".
std::string_view name_of(WanTransport::Kind kind);
// Another word, "auto" too: none.
std::optional<WanTransport::Kind> wan_transport_named(std::string_view name);
// "rule", "no-seeder-known", "no-seeder-reached", "seeder-reached".
std::string_view name_of(WanTransport::Reason reason);

}  // namespace lamina::policy
