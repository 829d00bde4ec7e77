// When each wave of a run begins: policy::Rollout, told what the devices did.
//
// The very state machine that the origin keeps decides; what it asks for happens a moment later,
// and not before the scenario's start of the wave. Not thread-safe.
#pragma once

#include <cstdint>
#include <queue>
#include <tuple>
#include <vector>

#include "shared/policy/rollout.hpp"
#include "sim/model/plan.hpp"

namespace lamina::sim {

// An answer of the origin to a device that waits for one, and what follows from it.
inline constexpr Duration kOrderTakes = std::chrono::milliseconds{1};

class Waves {
 public:
  explicit Waves(const Plan& plan);

  const std::vector<WaveTimes>& times() const { return times_; }
  std::int64_t devices(std::size_t wave) const {
    return static_cast<std::int64_t>(members_[wave].size());
  }

  // What will have happened at its time.
  void tell(const Outcome& outcome);
  void tell(const Held& held);
  // Forgets what was told and has not come to pass.
  void clear() { told_ = {}; }
  // When it has to look at something; kNever: not unless it is told more.
  Instant next() const;
  // Looks at what is due at next(), which comes to pass. Returns whether times() changed. Of what
  // is told later, nothing is earlier than that.
  bool advance();
  // What came to pass last.
  Instant now() const { return now_; }

 private:
  struct Told {
    Instant at;
    std::uint64_t device = 0;
    enum Kind : std::uint8_t { kHeld, kSucceeded, kFailed } kind = kHeld;
    auto order() const { return std::tuple(at, device, kind); }
    bool operator<(const Told& other) const { return order() > other.order(); }  // First on top.
  };
  std::vector<policy::Rollout::Member> members(std::uint32_t wave) const;
  bool carry_out(const std::vector<policy::Rollout::Action>& actions);
  bool answer();

  const Plan& plan_;
  policy::Rollout rollout_;
  std::vector<std::vector<std::uint32_t>> members_;  // Devices by the run's number, by wave.
  std::vector<WaveTimes> times_;
  std::vector<bool> stage_answered_, begin_answered_;
  std::priority_queue<Told> told_;
  bool holds_count_ = false;  // For some gate.
  bool started_ = false;
  Instant now_;
};

}  // namespace lamina::sim
