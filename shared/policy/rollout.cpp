#include "shared/policy/rollout.hpp"

#include <algorithm>
#include <utility>

#include "shared/base/assert.hpp"

namespace lamina::policy {
namespace {

// The smallest count of `all` that is `percent` of it or more.
std::int64_t share(int percent, std::int64_t all) { return (all * percent + 99) / 100; }

bool is_percent(int number) { return number >= 0 && number <= 100; }

}  // namespace

Rollout::Rollout(Limits limits, std::vector<WaveGates> gates) : limits_(limits) {
  LAMINA_ASSERT(!gates.empty());
  for (const WaveGates& gate : gates) {
    LAMINA_ASSERT(is_percent(gate.warm_percent) && is_percent(gate.success_percent) &&
                  is_percent(gate.failure_percent) && gate.soak.count() >= 0);
    WaveState wave;
    wave.gates = gate;
    waves_.push_back(std::move(wave));
  }
}

Rollout::Rollout(Limits limits, std::vector<WaveGates> gates, Memory memory)
    : Rollout(limits, std::move(gates)) {
  LAMINA_ASSERT(memory.waves.size() == waves_.size() && memory.current < waves_.size());
  phase_ = memory.phase;
  reason_ = memory.reason;
  current_ = memory.current;
  success_since_ = memory.success_since;
  for (std::uint32_t i = 0; i < waves_.size(); ++i) {
    waves_[i].step = memory.waves[i].step;
    add(i, memory.waves[i].members);
  }
}

std::vector<Rollout::Action> Rollout::on(const Event& event, Instant now) {
  LAMINA_ASSERT(now >= last_now_);
  last_now_ = now;
  std::visit([&](const auto& e) { apply(e, now); }, event);
  advance(now);
  check_invariants();
  return std::exchange(actions_, {});
}

void Rollout::apply(const Start&, Instant) {
  if (phase_ == Phase::planned) phase_ = Phase::running;
}

void Rollout::apply(const Pause&, Instant) {
  if (phase_ == Phase::running) phase_ = Phase::paused;
}

void Rollout::apply(const Resume&, Instant) {
  if (phase_ == Phase::paused) phase_ = Phase::running;
}

void Rollout::apply(const Stop&, Instant) {
  if (!is_final()) end(Phase::stopped, StopReason::administrator, current_);
}

void Rollout::apply(const Unassignable&, Instant) {
  if (!is_final()) end(Phase::stopped, StopReason::unassignable, current_);
}

void Rollout::apply(const Staged& staged, Instant) {
  LAMINA_ASSERT(staged.wave < waves_.size());
  WaveState& wave = waves_[staged.wave];
  if (wave.step != Step::untouched) return;
  wave.step = Step::staged;
  wave.asked.reset();
  add(staged.wave, staged.members);
}

void Rollout::apply(const Begun& begun, Instant) {
  LAMINA_ASSERT(begun.wave < waves_.size());
  WaveState& wave = waves_[begun.wave];
  if (wave.step == Step::begun || begun.wave > current_) return;
  wave.step = Step::begun;
  wave.asked.reset();
  add(begun.wave, begun.members);
  stop_if_too_many_failed(begun.wave);
}

void Rollout::add(std::uint32_t wave, const std::vector<Member>& members) {
  WaveState& state = waves_[wave];
  for (const Member& member : members) {
    const auto [at, added] = members_.try_emplace(member.device);
    if (!added) continue;  // It stays in the wave that named it first.
    const auto site = state.sites.try_emplace(member.site).first;
    if (site->second.devices++ == 0) ++state.counts.sites;
    if (member.holds && site->second.holders++ == 0) ++state.counts.warm_sites;
    ++state.counts.devices;
    state.counts.succeeded += member.outcome == Outcome::succeeded;
    state.counts.failed += member.outcome == Outcome::failed;
    at->second = {wave, site, member.outcome, member.holds};
  }
}

void Rollout::apply(const Holds& event, Instant) {
  const auto found = members_.find(event.device);
  if (found == members_.end() || found->second.holds == event.holds) return;
  Place& place = found->second;
  place.holds = event.holds;
  Counts& counts = waves_[place.wave].counts;
  std::int64_t& holders = place.site->second.holders;
  if (event.holds && holders++ == 0) ++counts.warm_sites;
  if (!event.holds && --holders == 0) --counts.warm_sites;
}

void Rollout::set_outcome(const DeviceId& device, Outcome outcome) {
  const auto found = members_.find(device);
  if (found == members_.end() || found->second.outcome == outcome) return;
  Place& place = found->second;
  Counts& counts = waves_[place.wave].counts;
  counts.succeeded +=
      (outcome == Outcome::succeeded) - (place.outcome == Outcome::succeeded ? 1 : 0);
  counts.failed += (outcome == Outcome::failed) - (place.outcome == Outcome::failed ? 1 : 0);
  place.outcome = outcome;
  stop_if_too_many_failed(place.wave);
}

void Rollout::apply(const Succeeded& succeeded, Instant) {
  set_outcome(succeeded.device, Outcome::succeeded);
}

void Rollout::apply(const Failed& failed, Instant) { set_outcome(failed.device, Outcome::failed); }

void Rollout::apply(const Left& left, Instant) {
  const auto found = members_.find(left.device);
  if (found == members_.end()) return;
  const Place place = found->second;
  WaveState& wave = waves_[place.wave];
  --wave.counts.devices;
  wave.counts.succeeded -= place.outcome == Outcome::succeeded;
  wave.counts.failed -= place.outcome == Outcome::failed;
  if (place.holds && --place.site->second.holders == 0) --wave.counts.warm_sites;
  if (--place.site->second.devices == 0) {
    --wave.counts.sites;
    wave.sites.erase(place.site);
  }
  members_.erase(found);
  stop_if_too_many_failed(place.wave);
}

void Rollout::stop_if_too_many_failed(std::uint32_t wave) {
  const WaveState& state = waves_[wave];
  if (is_final() || state.step != Step::begun) return;
  if (state.counts.failed * 100 > state.gates.failure_percent * state.counts.devices)
    end(Phase::stopped, StopReason::failures, wave);
}

void Rollout::end(Phase phase, StopReason reason, std::uint32_t wave) {
  phase_ = phase;
  reason_ = reason;
  success_since_.reset();
  actions_.push_back(Ended{phase, reason, wave});
}

bool Rollout::ask(std::uint32_t wave, Instant now) {
  std::optional<Instant>& asked = waves_[wave].asked;
  if (asked && now < *asked + limits_.ask_again) return false;
  asked = now;
  return true;
}

void Rollout::advance(Instant now) {
  while (phase_ == Phase::running) {
    WaveState& wave = waves_[current_];
    const Counts& counts = wave.counts;
    if (wave.step != Step::begun) {
      if (wave.gates.warm_percent > 0 && wave.step == Step::untouched) {
        if (ask(current_, now)) actions_.push_back(Stage{current_});
        return;
      }
      if (counts.warm_sites < share(wave.gates.warm_percent, counts.sites)) return;
      if (ask(current_, now)) actions_.push_back(Begin{current_});
      return;
    }
    // The next wave is staged as soon as this one has begun: the lines carry it meanwhile.
    const std::uint32_t next = current_ + 1;
    if (next < waves_.size() && waves_[next].gates.warm_percent > 0 &&
        waves_[next].step == Step::untouched && ask(next, now))
      actions_.push_back(Stage{next});

    if (counts.succeeded < share(wave.gates.success_percent, counts.devices)) {
      success_since_.reset();
      return;
    }
    if (!success_since_) success_since_ = now;
    if (now - *success_since_ < wave.gates.soak) return;
    actions_.push_back(Passed{current_});
    success_since_.reset();
    if (next == waves_.size())
      end(Phase::done, StopReason::none, current_);
    else
      current_ = next;
  }
}

std::optional<Instant> Rollout::next_change() const {
  if (phase_ != Phase::running) return std::nullopt;
  std::optional<Instant> next;
  const auto at = [&](Instant when) { next = next ? std::min(*next, when) : when; };
  for (std::uint32_t i = current_; i < waves_.size() && i <= current_ + 1; ++i)
    if (waves_[i].asked) at(*waves_[i].asked + limits_.ask_again);
  if (success_since_) at(*success_since_ + waves_[current_].gates.soak);
  return next;
}

Rollout::Wait Rollout::waits_for() const {
  const WaveState& wave = waves_[current_];
  const Counts& counts = wave.counts;
  switch (phase_) {
    case Phase::planned: return {.what = Waits::start, .until = {}};
    case Phase::paused: return {.what = Waits::resume, .until = {}};
    case Phase::stopped:
    case Phase::done: return {.what = Waits::nothing, .until = {}};
    case Phase::running: break;
  }
  if (wave.step != Step::begun) {
    const std::int64_t need = share(wave.gates.warm_percent, counts.sites);
    if (wave.step == Step::staged && counts.warm_sites < need)
      return {Waits::warm, counts.warm_sites, need, counts.sites, {}};
    return {.what = Waits::assignment, .until = {}};
  }
  const std::int64_t need = share(wave.gates.success_percent, counts.devices);
  if (!success_since_) return {Waits::success, counts.succeeded, need, counts.devices, {}};
  return {Waits::soak, counts.succeeded, need, counts.devices, *success_since_ + wave.gates.soak};
}

std::optional<std::uint32_t> Rollout::wave_of(const DeviceId& device) const {
  const auto found = members_.find(device);
  if (found == members_.end()) return std::nullopt;
  return found->second.wave;
}

void Rollout::check_invariants() const {
  LAMINA_ASSERT(current_ < waves_.size());
  LAMINA_ASSERT(current_ == 0 || waves_[current_ - 1].step == Step::begun);
  LAMINA_ASSERT(current_ + 1 >= waves_.size() || waves_[current_ + 1].step != Step::begun);
  LAMINA_ASSERT(!success_since_ || waves_[current_].step == Step::begun);
  LAMINA_ASSERT((phase_ == Phase::stopped) == (reason_ != StopReason::none));
  const Counts& counts = waves_[current_].counts;
  LAMINA_ASSERT(counts.succeeded >= 0 && counts.failed >= 0 &&
                counts.succeeded + counts.failed <= counts.devices);
  LAMINA_ASSERT(counts.warm_sites >= 0 && counts.warm_sites <= counts.sites &&
                counts.sites <= counts.devices);
}

std::string_view name_of(Rollout::Phase phase) {
  switch (phase) {
    case Rollout::Phase::planned: return "planned";
    case Rollout::Phase::running: return "running";
    case Rollout::Phase::paused: return "paused";
    case Rollout::Phase::stopped: return "stopped";
    case Rollout::Phase::done: return "done";
  }
  return "unknown";
}

std::string_view name_of(Rollout::StopReason reason) {
  switch (reason) {
    case Rollout::StopReason::none: return "none";
    case Rollout::StopReason::failures: return "failures";
    case Rollout::StopReason::administrator: return "administrator";
    case Rollout::StopReason::unassignable: return "unassignable";
  }
  return "unknown";
}

std::string_view name_of(Rollout::Outcome outcome) {
  switch (outcome) {
    case Rollout::Outcome::open: return "open";
    case Rollout::Outcome::succeeded: return "succeeded";
    case Rollout::Outcome::failed: return "failed";
  }
  return "unknown";
}

std::string_view name_of(Rollout::Step step) {
  switch (step) {
    case Rollout::Step::untouched: return "untouched";
    case Rollout::Step::staged: return "staged";
    case Rollout::Step::begun: return "begun";
  }
  return "unknown";
}

std::string_view name_of(Rollout::Waits waits) {
  switch (waits) {
    case Rollout::Waits::nothing: return "nothing";
    case Rollout::Waits::start: return "waiting-for-start";
    case Rollout::Waits::resume: return "waiting-for-resume";
    case Rollout::Waits::assignment: return "waiting-for-assignment";
    case Rollout::Waits::warm: return "waiting-for-warm";
    case Rollout::Waits::success: return "waiting-for-success";
    case Rollout::Waits::soak: return "soaking";
  }
  return "unknown";
}

}  // namespace lamina::policy
