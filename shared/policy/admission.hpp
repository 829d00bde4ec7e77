// Admission decides which sites fetch a rollout over their lines at the same time.
//
// The origin's own line is shared by all of them. With a bounded number of sites at once each gets
// a usable part of it and finishes; without, all crawl and none does. Free places go to the site
// with the fewest bytes left, then the least time left, then by name. A site keeps its place until
// it has everything: only one that makes no progress for `patience` gives way, if another waits,
// and comes back after all that did not stall, or did so before it.
//
// It is a plain state machine: feed it what sites lack and when, and carry out the actions it
// returns. The origin keeps one per rollout; the simulator runs this very code. An event costs
// O(log sites).
//
// Invariants, checked after every event:
//   - at most `limits.sites_max` sites are admitted;
//   - a site waits only while every place is taken.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "shared/base/units.hpp"

namespace lamina::policy {

class Admission {
 public:
  struct Limits {
    std::size_t sites_max = 10;
    // Longer than a lease takes to move twice and a line to come back from a short cut.
    Duration patience = std::chrono::minutes{5};
  };

  // What happened.
  struct Lacks {  // What the site still has to fetch over its line. No bytes: nothing, it is done.
    std::string site;
    Bytes bytes_left;
    Duration time_left{};  // As far as the caller can tell; 0: it cannot.
  };
  struct Gone {  // Nobody of the site is up.
    std::string site;
  };
  struct Tick {};  // Time passed: call at next_change().
  using Event = std::variant<Lacks, Gone, Tick>;

  // What to do about it, in this order.
  struct Withdraw {  // The site lost its place: it fetches nothing more for now.
    std::string site;
    bool operator==(const Withdraw&) const = default;
  };
  struct Admit {
    std::string site;
    bool operator==(const Admit&) const = default;
  };
  using Action = std::variant<Withdraw, Admit>;

  // `sites_max` is at least 1.
  explicit Admission(Limits limits);

  // Sites that had a place before a restart have it again. At most `sites_max`; before any event.
  void restore(const std::vector<std::string>& admitted, Instant now);

  // `now` must not be earlier than in the previous call.
  std::vector<Action> on(const Event& event, Instant now);

  // When to send a Tick if nothing else happens before; nothing: never.
  std::optional<Instant> next_change() const;

  bool is_admitted(const std::string& site) const;
  bool is_waiting(const std::string& site) const;
  std::size_t admitted() const { return by_progress_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::vector<std::string> admitted_sites() const;                 // By name.
  std::vector<std::string> waiting_sites(std::size_t most) const;  // The next one first.

 private:
  struct Site {
    Bytes bytes_left;
    Duration time_left{};
    std::uint64_t stalled = 0;  // In its last turn, counted over all sites; 0: it did not.
    bool admitted = false;
    Instant progress;  // Admitted only: when it got its place, or bytes_left fell.
  };
  using Rank = std::tuple<std::uint64_t, Bytes, Duration, std::string>;
  static Rank rank(const std::string& name, const Site& site);

  void apply(const Lacks& lacks, Instant now);
  void apply(const Gone& gone, Instant now);
  void apply(const Tick&, Instant) {}
  void forget(std::map<std::string, Site>::iterator at);
  void withdraw_stalled(Instant now);
  void fill_free_places(Instant now);
  void check_invariants() const;

  Limits limits_;
  Instant last_now_{};
  std::uint64_t stalls_ = 0;
  std::map<std::string, Site> sites_;  // All that lack something.
  std::set<Rank> waiting_;
  std::set<std::pair<Instant, std::string>> by_progress_;  // The admitted.
  std::vector<Action> actions_;                            // Collected while one event is handled.
};

}  // namespace lamina::policy
