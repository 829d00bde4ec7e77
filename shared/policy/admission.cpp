#include "shared/policy/admission.hpp"

#include <algorithm>
#include <utility>

#include "shared/base/assert.hpp"

namespace lamina::policy {

Admission::Admission(Limits limits) : limits_(limits) {
  LAMINA_ASSERT(limits_.sites_max >= 1 && limits_.patience.count() > 0);
}

void Admission::restore(const std::vector<std::string>& admitted, Instant now) {
  LAMINA_ASSERT(sites_.empty() && admitted.size() <= limits_.sites_max);
  last_now_ = now;
  for (const std::string& name : admitted) {
    // What it lacks is not known yet: any figure that comes is progress.
    const auto [at, added] = sites_.try_emplace(name);
    at->second = {.bytes_left = {INT64_MAX}, .admitted = true, .progress = now};
    by_progress_.emplace(now, name);
  }
}

std::vector<Admission::Action> Admission::on(const Event& event, Instant now) {
  LAMINA_ASSERT(now >= last_now_);
  last_now_ = now;
  std::visit([&](const auto& e) { apply(e, now); }, event);
  withdraw_stalled(now);
  fill_free_places(now);
  check_invariants();
  return std::exchange(actions_, {});
}

Admission::Rank Admission::rank(const std::string& name, const Site& site) {
  return {site.stalled, site.bytes_left, site.time_left, name};
}

void Admission::apply(const Lacks& lacks, Instant now) {
  if (lacks.bytes_left.count <= 0) return apply(Gone{lacks.site}, now);
  const auto [at, added] = sites_.try_emplace(lacks.site);
  Site& site = at->second;
  if (!added && !site.admitted) waiting_.erase(rank(at->first, site));
  if (site.admitted && lacks.bytes_left < site.bytes_left) {
    by_progress_.erase({site.progress, at->first});
    by_progress_.emplace(now, at->first);
    site.progress = now;
    site.stalled = 0;
  }
  site.bytes_left = lacks.bytes_left;
  site.time_left = lacks.time_left;
  if (!site.admitted) waiting_.insert(rank(at->first, site));
}

void Admission::apply(const Gone& gone, Instant) {
  if (const auto at = sites_.find(gone.site); at != sites_.end()) forget(at);
}

void Admission::forget(std::map<std::string, Site>::iterator at) {
  if (at->second.admitted)
    by_progress_.erase({at->second.progress, at->first});
  else
    waiting_.erase(rank(at->first, at->second));
  sites_.erase(at);
}

// No more sites lose their place than others wait for one.
void Admission::withdraw_stalled(Instant now) {
  for (auto others = waiting_.size(); others > 0 && !by_progress_.empty(); --others) {
    const auto [progress, name] = *by_progress_.begin();
    if (by_progress_.size() < limits_.sites_max || now - progress < limits_.patience) return;
    by_progress_.erase(by_progress_.begin());
    Site& site = sites_.at(name);
    site.admitted = false;
    site.stalled = ++stalls_;
    waiting_.insert(rank(name, site));
    actions_.push_back(Withdraw{name});
    // Its place is filled at once, so that the next one is withdrawn only for another that waits.
    fill_free_places(now);
  }
}

void Admission::fill_free_places(Instant now) {
  while (by_progress_.size() < limits_.sites_max && !waiting_.empty()) {
    const std::string name = std::get<3>(*waiting_.begin());
    waiting_.erase(waiting_.begin());
    Site& site = sites_.at(name);
    site.admitted = true;
    site.progress = now;
    by_progress_.emplace(now, name);
    actions_.push_back(Admit{name});
  }
}

std::optional<Instant> Admission::next_change() const {
  if (waiting_.empty() || by_progress_.empty()) return std::nullopt;
  return by_progress_.begin()->first + limits_.patience;
}

bool Admission::is_admitted(const std::string& site) const {
  const auto at = sites_.find(site);
  return at != sites_.end() && at->second.admitted;
}

bool Admission::is_waiting(const std::string& site) const {
  const auto at = sites_.find(site);
  return at != sites_.end() && !at->second.admitted;
}

std::vector<std::string> Admission::admitted_sites() const {
  std::vector<std::string> names;
  for (const auto& [progress, name] : by_progress_) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> Admission::waiting_sites(std::size_t most) const {
  std::vector<std::string> names;
  for (auto at = waiting_.begin(); at != waiting_.end() && names.size() < most; ++at)
    names.push_back(std::get<3>(*at));
  return names;
}

void Admission::check_invariants() const {
  LAMINA_ASSERT(by_progress_.size() <= limits_.sites_max);
  LAMINA_ASSERT(waiting_.empty() || by_progress_.size() == limits_.sites_max);
  LAMINA_ASSERT(waiting_.size() + by_progress_.size() == sites_.size());
}

}  // namespace lamina::policy
