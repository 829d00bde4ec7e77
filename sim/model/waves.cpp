#include "sim/model/waves.hpp"

#include <algorithm>

namespace lamina::sim {
namespace {

// A Stage or Begin is always answered: it need not be asked for again.
constexpr Duration kAskAgain = std::chrono::hours{24 * 365};

std::vector<policy::WaveGates> gates_of(const Scenario& scenario) {
  std::vector<policy::WaveGates> gates;
  for (const Wave& wave : scenario.rollout.waves) gates.push_back(wave.gates);
  return gates;
}

}  // namespace

Waves::Waves(const Plan& plan)
    : plan_(plan),
      rollout_(policy::Rollout::Limits{.ask_again = kAskAgain}, gates_of(plan.scenario)),
      members_(plan.scenario.rollout.waves.size()),
      times_(members_.size()),
      stage_answered_(members_.size()),
      begin_answered_(members_.size()) {
  for (Index site = 0; site < plan.scenario.sites.size(); ++site) {
    const std::vector<DrawnDevice> devices = plan.fleet.site(site);
    for (std::size_t i = 0; i < devices.size(); ++i)
      if (devices[i].wave != kNoWave)
        members_[devices[i].wave].push_back(
            static_cast<std::uint32_t>(plan.fleet.first_device(site) + i));
  }
  for (const Wave& wave : plan.scenario.rollout.waves) holds_count_ |= wave.gates.warm_percent > 0;
}

std::vector<policy::Rollout::Member> Waves::members(std::uint32_t wave) const {
  std::vector<policy::Rollout::Member> members;
  members.reserve(members_[wave].size());
  Index site = 0;
  const std::size_t sites = plan_.scenario.sites.size();
  for (const std::uint32_t device : members_[wave]) {
    while (site + 1 < sites && plan_.fleet.first_device(site + 1) <= device) ++site;
    members.push_back({.device = plan_.fleet.id(device), .site = plan_.scenario.sites[site].name});
  }
  return members;
}

void Waves::tell(const Outcome& outcome) {
  told_.push({outcome.at, outcome.device, outcome.failed ? Told::kFailed : Told::kSucceeded});
}

void Waves::tell(const Held& held) {
  if (holds_count_) told_.push({held.at, held.device, Told::kHeld});
}

Instant Waves::next() const {
  if (!started_) return Instant{};
  Instant next = rollout_.next_change().value_or(kNever);
  if (!told_.empty()) next = std::min(next, told_.top().at);
  for (std::size_t wave = 0; wave < times_.size(); ++wave) {
    if (!stage_answered_[wave]) next = std::min(next, times_[wave].staged);
    if (!begin_answered_[wave]) next = std::min(next, times_[wave].begun);
  }
  return next;
}

bool Waves::advance() {
  const Instant now = next();
  now_ = std::max(now_, now);
  bool changed = false;
  if (!started_) {
    started_ = true;
    changed = carry_out(rollout_.on(policy::Rollout::Start{}, now_));
  }
  changed |= answer();
  while (!told_.empty() && told_.top().at <= now_) {
    const Told told = told_.top();
    told_.pop();
    const DeviceId device = plan_.fleet.id(told.device);
    switch (told.kind) {
      case Told::kHeld:
        changed |= carry_out(rollout_.on(policy::Rollout::Holds{device, true}, now_));
        break;
      case Told::kSucceeded:
        changed |= carry_out(rollout_.on(policy::Rollout::Succeeded{device}, now_));
        break;
      case Told::kFailed:
        changed |= carry_out(rollout_.on(policy::Rollout::Failed{device}, now_));
        break;
    }
  }
  if (const auto due = rollout_.next_change(); due && *due <= now_)
    changed |= carry_out(rollout_.on(policy::Rollout::Tick{}, now_));
  return changed;
}

// Tells the rollout of waves whose time has come.
bool Waves::answer() {
  bool changed = false;
  for (std::uint32_t wave = 0; wave < times_.size(); ++wave) {
    if (!stage_answered_[wave] && times_[wave].staged <= now_) {
      stage_answered_[wave] = true;
      changed |= carry_out(rollout_.on(policy::Rollout::Staged{wave, members(wave)}, now_));
    }
    if (!begin_answered_[wave] && times_[wave].begun <= now_) {
      begin_answered_[wave] = true;
      changed |= carry_out(rollout_.on(policy::Rollout::Begun{wave, members(wave)}, now_));
    }
  }
  return changed;
}

bool Waves::carry_out(const std::vector<policy::Rollout::Action>& actions) {
  bool changed = false;
  // The run begins with the rollout's first order carried out.
  const Instant soon = now_ == Instant{} ? now_ : now_ + kOrderTakes;
  for (const policy::Rollout::Action& action : actions) {
    if (const auto* stage = std::get_if<policy::Rollout::Stage>(&action)) {
      times_[stage->wave].staged = soon;
      changed = true;
    } else if (const auto* begin = std::get_if<policy::Rollout::Begin>(&action)) {
      const Duration start = plan_.scenario.rollout.waves[begin->wave].start;
      times_[begin->wave].begun = std::max(soon, Instant(start));
      changed = true;
    }
  }
  return changed;
}

}  // namespace lamina::sim
