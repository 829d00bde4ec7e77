#include "sim/model/batch.hpp"

#include <algorithm>
#include <utility>

namespace lamina::sim {

Batch::Batch(const Plan& plan, const Groups& groups, std::vector<Index> sites,
             const std::vector<WaveTimes>& times)
    : plan_(plan),
      sites_(std::move(sites)),
      kinds_(groups.down.size(), Limit::origin),
      events_(sites_.size(), Instant{}),
      reports_(sites_.size(), kNever) {
  for (const std::uint32_t group : groups.region_down) kinds_[group] = Limit::region;
  std::vector<Network::Site> down, up;
  for (const Index site : sites_) {
    runs_.push_back(std::make_unique<SiteRun>(plan, site, times));
    down.push_back({groups.site_down[site], runs_.back()->down_lines()});
    up.push_back({groups.site_up[site], runs_.back()->up_lines()});
  }
  const auto moved = [this](std::uint32_t place) { moved_.push_back(place); };
  down_ = std::make_unique<Network>(groups.down, std::move(down), moved);
  up_ = std::make_unique<Network>(groups.up, std::move(up));
  for (std::uint32_t place = 0; place < runs_.size(); ++place)
    runs_[place]->attach(*down_, *up_, place, kinds_, *this);
  if (plan.bounded && plan.scenario.rollout.admission) {
    admission_.emplace(*plan.scenario.rollout.admission);
    for (std::uint32_t place = 0; place < sites_.size(); ++place)
      places_.emplace(plan.scenario.sites[sites_[place]].name, place);
  }
}

// After something happened there.
void Batch::update(std::uint32_t place) {
  SiteRun& run = *runs_[place];
  events_.set(place, run.next());
  if (waves_) {
    for (const Outcome& outcome : run.outcomes) waves_->tell(outcome);
    for (const Held& item : run.held) waves_->tell(item);
  }
  outcomes.insert(outcomes.end(), run.outcomes.begin(), run.outcomes.end());
  held.insert(held.end(), run.held.begin(), run.held.end());
  run.outcomes.clear();
  run.held.clear();
}

template <class Change>
void Batch::bounded(std::uint32_t place, Change&& change) {
  if (!bound_) return change();
  const SiteLines& down = down_->lines(place);
  const SiteLines& up = up_->lines(place);
  const Instant down_from = down.now(), up_from = up.now();
  const double down_before = down.carried(kForeground), up_before = up.carried(kForeground);
  change();
  const double down_bytes = down.carried(kForeground) - down_before;
  const double up_bytes = up.carried(kForeground) - up_before;
  if (down_bytes > 0 && now_ > down_from)
    bound_->add_down(sites_[place], down_from, now_, down_bytes / in_seconds(now_ - down_from));
  if (up_bytes > 0 && now_ > up_from)
    bound_->add_up(sites_[place], up_from, now_, up_bytes / in_seconds(now_ - up_from));
}

Traveller Batch::take(std::uint64_t device, Index to) {
  const auto [at, is_new] = abroad_.try_emplace(device, plan_.fleet.site_of(device));
  left_.push_back(at->second);
  return runs_[std::exchange(at->second, to)]->give(now_, device);
}

void Batch::send_home(const Traveller& traveller) {
  abroad_.erase(traveller.device);
  left_.push_back(plan_.fleet.site_of(traveller.device));
  runs_[left_.back()]->take_back(now_, traveller);
}

// What is due there, and what others make of it.
void Batch::process(std::uint32_t place) {
  bounded(place, [&] { runs_[place]->process(now_); });
  left_.push_back(place);
  for (const std::uint32_t changed : std::exchange(left_, {})) {
    update(changed);
    if (admission_) tell_admission(changed);
  }
}

// Levels above, and what follows from them at the sites.
void Batch::settle() {
  if (!plan_.bounded) return;
  down_->settle();
  up_->settle();
  for (const std::uint32_t place : std::exchange(moved_, {})) {
    runs_[place]->moved(now_);
    update(place);
  }
}

void Batch::tell_admission(std::uint32_t place) {
  const std::string& name = plan_.scenario.sites[sites_[place]].name;
  const Bytes bytes = runs_[place]->lacks();
  reports_.set(place,
               bytes.count > 0 ? now_ + plan_.scenario.rollout.admission->patience / 2 : kNever);
  if (bytes.count > 0)
    carry_out(admission_->on(policy::Admission::Lacks{.site = name, .bytes_left = bytes}, now_));
  else if (admission_->is_admitted(name) || admission_->is_waiting(name))
    carry_out(admission_->on(policy::Admission::Gone{name}, now_));
  if (bytes.count == 0) runs_[place]->set_admitted(now_, false);
}

void Batch::carry_out(const std::vector<policy::Admission::Action>& actions) {
  for (const policy::Admission::Action& action : actions) {
    const auto* admit = std::get_if<policy::Admission::Admit>(&action);
    const std::string& name =
        admit ? admit->site : std::get<policy::Admission::Withdraw>(action).site;
    const std::uint32_t place = places_.at(name);
    runs_[place]->set_admitted(now_, admit != nullptr);
    update(place);
  }
}

void Batch::run(Waves* waves, DemandBound* bound) {
  waves_ = waves;
  bound_ = bound;
  const Instant end = plan_.end();
  const bool stops_early = !plan_.with_uploads && !waves;
  const Duration step = plan_.scenario.run.duration / 100;
  Instant told = progress ? Instant{} + step : kNever;
  for (;;) {
    Instant next = events_.empty() ? kNever : events_.top_key();
    next = std::min({next, down_->next(), up_->next()});
    if (waves) next = std::min(next, waves->next());
    if (admission_) {
      next = std::min(next, reports_.top_key());
      if (const auto change = admission_->next_change()) next = std::min(next, *change);
    }
    if (next >= end) break;
    now_ = std::max(now_, next);
    if (now_ >= told) {
      progress(static_cast<double>(now_.time_since_epoch().count()) /
               static_cast<double>(plan_.scenario.run.duration.count()));
      told = now_ + step;
    }
    down_->advance(now_);
    up_->advance(now_);
    if (waves && waves->next() <= now_) {
      if (waves->advance())
        for (std::uint32_t place = 0; place < runs_.size(); ++place) {
          for (std::uint8_t wave = 0; wave < waves->times().size(); ++wave)
            runs_[place]->set_times(wave, waves->times()[wave]);
          update(place);
        }
      continue;
    }
    std::uint32_t place;
    if (!events_.empty() && events_.top_key() <= now_) {
      place = events_.top();
    } else if (down_->next() <= now_) {
      place = down_->next_site();
    } else if (up_->next() <= now_) {
      place = up_->next_site();
    } else if (reports_.top_key() <= now_) {
      down_->open(reports_.top());
      tell_admission(reports_.top());
      settle();
      continue;
    } else {
      carry_out(admission_->on(policy::Admission::Tick{}, now_));
      settle();
      continue;
    }
    process(place);
    settle();
    if (stops_early && runs_.size() == 1 && runs_[0]->is_settled()) return;
  }
  now_ = end;
  down_->advance(now_);
  up_->advance(now_);
  for (std::uint32_t place = 0; place < runs_.size(); ++place)
    bounded(place, [&] { runs_[place]->end(now_); });
}

}  // namespace lamina::sim
