// Rollout decides when each wave of devices gets the layers of a rollout.
//
// A rollout brings layers to devices in waves, one after the other. Gates stand between them: a
// wave passes when enough of its devices have applied the layers and this has lasted for its soak
// time; the next one begins when enough of its sites hold the layers already. When too many devices
// of a wave fail, the rollout is stopped: nothing is undone, but no further wave begins.
//
// It is a plain state machine: feed it what happened and when, and carry out the actions it
// returns. The origin keeps one per rollout; the simulator runs this very code. An event costs
// O(log devices), so a rollout may span 10^5 sites.
//
// Invariants, checked after every event:
//   - waves begin in order, and none begins before the one in front of it has passed;
//   - nothing is staged or begun unless the rollout is running;
//   - stopped and done are final.
// Not thread-safe; all calls come from one event loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

// Percentages from 0 to 100. A share is reached when have * 100 >= percent * all; a wave without
// devices has reached everything.
struct WaveGates {
  // Before the wave begins: of its sites, those in which a device holds every layer. 0: the layers
  // are not staged ahead.
  int warm_percent = 0;
  // Before the next wave begins: of its devices, those that have applied the layers.
  int success_percent = 90;
  // Of its devices, those that may fail. One more stops the rollout.
  int failure_percent = 5;
  // How long `success_percent` must have been held without a break.
  Duration soak{};
  bool operator==(const WaveGates&) const = default;
};

class Rollout {
 public:
  enum class Phase { planned, running, paused, stopped, done };
  enum class StopReason { none, failures, administrator, unassignable };
  enum class Outcome { open, succeeded, failed };
  enum class Step { untouched, staged, begun };  // Of a wave.

  struct Limits {
    // A Stage or Begin that was not answered is asked for again after this: its carrying out may
    // have failed for want of disk space, or the process was restarted in between.
    Duration ask_again = std::chrono::seconds{30};
  };

  struct Member {
    DeviceId device;
    std::string site;
    Outcome outcome = Outcome::open;
    bool holds = false;  // Every layer, in its cache.
  };

  // What happened.
  struct Start {};   // From planned.
  struct Pause {};   // No further wave begins; devices that have their target go on.
  struct Resume {};  // From paused.
  struct Stop {};    // For good.
  struct Staged {    // The layers of the wave are on their way into its devices' caches.
    std::uint32_t wave = 0;
    std::vector<Member> members;
  };
  struct Begun {  // The wave's devices have their new targets. Adds members to those of Staged.
    std::uint32_t wave = 0;
    std::vector<Member> members;
  };
  struct Unassignable {};  // A Stage or Begin cannot be carried out, now or later.
  struct Holds {           // A member has every layer in its cache, or has lost one.
    DeviceId device;
    bool holds = true;
  };
  struct Succeeded {  // A member has applied the layers.
    DeviceId device;
  };
  struct Failed {  // A member could not apply them, or went back. It may still succeed.
    DeviceId device;
  };
  struct Left {  // A member was rejected, or was given another target by hand: it counts no more.
    DeviceId device;
  };
  struct Tick {};  // Time passed: call at next_change().
  using Event = std::variant<Start, Pause, Resume, Stop, Staged, Begun, Unassignable, Holds,
                             Succeeded, Failed, Left, Tick>;

  // What to do about it, in this order.
  struct Stage {  // Assign the layers of the wave for caching; answer with Staged.
    std::uint32_t wave = 0;
    bool operator==(const Stage&) const = default;
  };
  struct Begin {  // Assign the layers of the wave; answer with Begun.
    std::uint32_t wave = 0;
    bool operator==(const Begin&) const = default;
  };
  struct Passed {  // Every gate behind the wave is open.
    std::uint32_t wave = 0;
    bool operator==(const Passed&) const = default;
  };
  struct Ended {  // The rollout is stopped or done.
    Phase phase = Phase::done;
    StopReason reason = StopReason::none;
    std::uint32_t wave = 0;  // The one whose devices failed; else the current one.
    bool operator==(const Ended&) const = default;
  };
  using Action = std::variant<Stage, Begin, Passed, Ended>;

  // What survives a restart; `waves` has one element for each wave.
  struct Wave {
    Step step = Step::untouched;
    std::vector<Member> members;
  };
  struct Memory {
    Phase phase = Phase::planned;
    StopReason reason = StopReason::none;
    std::uint32_t current = 0;
    std::optional<Instant> success_since;
    std::vector<Wave> waves;
  };

  // A planned rollout. At least one wave.
  Rollout(Limits limits, std::vector<WaveGates> gates);
  // One that goes on after a restart. Tick it once to get what was not answered.
  Rollout(Limits limits, std::vector<WaveGates> gates, Memory memory);

  Rollout(Rollout&&) = default;  // Members point at their sites: a copy would point at these.
  Rollout& operator=(Rollout&&) = default;

  // `now` must not be earlier than in the previous call. Events that do not fit the phase, and
  // events about devices that are no members, change nothing.
  std::vector<Action> on(const Event& event, Instant now);

  // When to send a Tick if nothing else happens before; nothing: never.
  std::optional<Instant> next_change() const;

  struct Counts {
    std::int64_t devices = 0;
    std::int64_t succeeded = 0;
    std::int64_t failed = 0;
    std::int64_t sites = 0;
    std::int64_t warm_sites = 0;  // With a device that holds every layer.
  };
  // What it waits for. `have`, `need` and `all` are devices or sites; 0 where nothing is counted.
  enum class Waits { nothing, start, resume, assignment, warm, success, soak };
  struct Wait {
    Waits what = Waits::nothing;
    std::int64_t have = 0;
    std::int64_t need = 0;
    std::int64_t all = 0;
    std::optional<Instant> until;  // soak only.
  };

  Phase phase() const { return phase_; }
  StopReason stop_reason() const { return reason_; }
  std::uint32_t current() const { return current_; }
  std::uint32_t waves() const { return static_cast<std::uint32_t>(waves_.size()); }
  Step step(std::uint32_t wave) const { return waves_[wave].step; }
  const Counts& counts(std::uint32_t wave) const { return waves_[wave].counts; }
  const WaveGates& gates(std::uint32_t wave) const { return waves_[wave].gates; }
  std::optional<Instant> success_since() const { return success_since_; }
  Wait waits_for() const;
  // In which wave the device is; nothing: in none.
  std::optional<std::uint32_t> wave_of(const DeviceId& device) const;

 private:
  struct SiteTally {
    std::int64_t devices = 0;
    std::int64_t holders = 0;
  };
  struct WaveState {
    WaveGates gates;
    Step step = Step::untouched;
    Counts counts;
    std::map<std::string, SiteTally> sites;
    std::optional<Instant> asked;  // For the Stage or Begin that is not answered yet.
  };
  struct Place {
    std::uint32_t wave = 0;
    std::map<std::string, SiteTally>::iterator site;
    Outcome outcome = Outcome::open;
    bool holds = false;
  };

  void apply(const Start&, Instant now);
  void apply(const Pause&, Instant now);
  void apply(const Resume&, Instant now);
  void apply(const Stop&, Instant now);
  void apply(const Staged& staged, Instant now);
  void apply(const Begun& begun, Instant now);
  void apply(const Unassignable&, Instant now);
  void apply(const Holds& holds, Instant now);
  void apply(const Succeeded& succeeded, Instant now);
  void apply(const Failed& failed, Instant now);
  void apply(const Left& left, Instant now);
  void apply(const Tick&, Instant) {}

  bool is_final() const { return phase_ == Phase::stopped || phase_ == Phase::done; }
  void add(std::uint32_t wave, const std::vector<Member>& members);
  void set_outcome(const DeviceId& device, Outcome outcome);
  void stop_if_too_many_failed(std::uint32_t wave);
  void end(Phase phase, StopReason reason, std::uint32_t wave);
  bool ask(std::uint32_t wave, Instant now);  // Whether to ask now.
  void advance(Instant now);
  void check_invariants() const;

  Limits limits_;
  Instant last_now_{};
  Phase phase_ = Phase::planned;
  StopReason reason_ = StopReason::none;
  std::uint32_t current_ = 0;
  std::optional<Instant> success_since_;  // Of the current wave.
  std::vector<WaveState> waves_;
  std::map<DeviceId, Place> members_;
  std::vector<Action> actions_;  // Collected while one event is handled.
};

// As they stand in JSON and on the command line: "planned", "waiting-for-success"...
std::string_view name_of(Rollout::Phase phase);
std::string_view name_of(Rollout::StopReason reason);
std::string_view name_of(Rollout::Outcome outcome);
std::string_view name_of(Rollout::Step step);
std::string_view name_of(Rollout::Waits waits);

}  // namespace lamina::policy
