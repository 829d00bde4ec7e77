#include "sim/engine/trunk.hpp"

#include <algorithm>
#include <cmath>

#include "shared/base/assert.hpp"

namespace lamina::sim {
namespace {

// Levels closer than this are one: some ten units in a double's last place.
constexpr double kSame = 2e-15;
// Newton's steps end after one step for each piece; a thousand in a row are a defect.
constexpr int kStepsMax = 100'000;

}  // namespace

Trunk::Trunk(const std::vector<TrunkGroup>& groups, const std::vector<std::uint32_t>& sites,
             Instant now)
    : groups_(groups.size()),
      children_(groups.size() + sites.size()),
      dirty_(groups.size(), 0),
      now_(now) {
  LAMINA_ASSERT(!groups.empty());
  const auto hang = [this](std::uint32_t child, std::uint32_t group) {
    children_[child].group = group;
    children_[child].slot = static_cast<std::uint32_t>(groups_[group].children.size());
    groups_[group].children.push_back(child);
  };
  for (std::uint32_t group = 0; group < groups.size(); ++group) {
    static_cast<TrunkGroup&>(groups_[group]) = groups[group];
    LAMINA_ASSERT(group == 0 || groups[group].parent < group);
    if (group > 0) hang(child_of_group(group), groups[group].parent);
  }
  for (std::uint32_t site = 0; site < sites.size(); ++site) hang(child_of_site(site), sites[site]);
  for (Group& group : groups_) {
    const std::size_t slots = group.children.size();
    group.up = {slots, kInfinite};
    group.down = {slots, 1.0};
    group.ends = {slots, kInfinite};
  }
}

double Trunk::level_of(std::uint32_t group) const {
  while (!groups_[group].full && group > 0) group = groups_[group].parent;
  return groups_[group].full ? groups_[group].level : kInfinite;
}

double Trunk::parent_level(std::uint32_t group) const {
  return group == 0 ? kInfinite : level_of(groups_[group].parent);
}

void Trunk::advance(Instant now) {
  LAMINA_ASSERT(now >= now_);
  if (now == now_) return;
  const double seconds = in_seconds(now - now_);
  for (std::uint32_t i = 0; i < groups_.size(); ++i) {
    groups_[i].carried += used(i) * seconds;
    if (groups_[i].full) groups_[i].full_seconds += seconds;
    const double level = level_of(i);
    if (level < kInfinite) groups_[i].clock += level * seconds;
  }
  now_ = now;
}

Feed Trunk::feed(std::uint32_t site) const {
  const std::uint32_t group = children_[child_of_site(site)].group;
  return {level_of(group), groups_[group].clock};
}

std::uint32_t Trunk::full_group(std::uint32_t site) const {
  std::uint32_t group = children_[child_of_site(site)].group;
  while (!groups_[group].full && group > 0) group = groups_[group].parent;
  return group;
}

Rate Trunk::used(std::uint32_t group) const {
  const Group& of = groups_[group];
  if (of.full) return of.line;
  const double level = level_of(group);
  return from_fixed(of.fixed) +
         (of.following > 0 ? static_cast<double>(of.following) * level : 0.0);
}

void Trunk::mark(std::uint32_t group) { dirty_[group] = 1; }

void Trunk::set_demand(std::uint32_t child, const Demand& demand) {
  Child& of = children_[child];
  if (of.demand == demand) return;
  Group& group = groups_[of.group];
  group.following += demand.following - of.demand.following;
  group.fixed += demand.fixed - of.demand.fixed;
  group.up.set(of.slot, demand.up);
  group.down.set(of.slot, -demand.down);
  of.demand = demand;
  mark(of.group);
}

void Trunk::set_site(std::uint32_t site, const Demand& demand, double by_clock) {
  const std::uint32_t child = child_of_site(site);
  set_demand(child, demand);
  groups_[children_[child].group].ends.set(children_[child].slot, by_clock);
}

void Trunk::set_line(std::uint32_t group, Rate rate) {
  if (groups_[group].line == rate) return;
  groups_[group].line = rate;
  mark(group);
}

// What the group takes from its parent.
Demand Trunk::demand_of(std::uint32_t group) const {
  const Group& of = groups_[group];
  if (of.full) return {.following = 0, .fixed = to_fixed(of.line), .down = of.level};
  Demand demand{.following = of.following, .fixed = of.fixed};
  if (!of.up.empty()) {
    demand.up = of.up.top_key();
    demand.down = std::max(-1.0, -of.down.top_key());
  }
  // Not below the level that it has, whatever the rounding: else the parent asked for ever.
  demand.up = std::min(demand.up, std::max(full_at(of), of.level));
  return demand;
}

double Trunk::first_end(std::uint32_t group) const {
  const Group& of = groups_[group];
  double end = of.ends.empty() ? kInfinite : of.ends.top_key();
  // Groups below that pass this level on: their clocks run as fast as this one.
  for (const std::uint32_t child : of.children) {
    if (child >= groups_.size()) break;
    if (!groups_[child].full) {
      const double below = first_end(child);
      if (below < kInfinite) end = std::min(end, of.clock + (below - groups_[child].clock));
    }
  }
  return end;
}

void Trunk::set_level(std::uint32_t group, double level,
                      const std::function<void(std::uint32_t)>& moved) {
  Group& of = groups_[group];
  of.level = level;
  const auto ask = [&](std::uint32_t slot) {
    const std::uint32_t child = of.children[slot];
    if (child >= groups_.size()) {
      moved(child - static_cast<std::uint32_t>(groups_.size()));
    } else {
      find_level(child, level, moved);
      set_demand(child, demand_of(child));
    }
  };
  while (!of.up.empty() && of.up.top_key() < level) ask(of.up.top());
  while (!of.down.empty() && -of.down.top_key() >= level) ask(of.down.top());
}

// The level at which the line would be full, if the children's demands went on as they are.
double Trunk::full_at(const Group& of) const {
  if (of.following == 0 || of.line == kInfinite) return kInfinite;
  return std::max(0.0,
                  from_fixed(to_fixed(of.line) - of.fixed) / static_cast<double>(of.following));
}

// The level of a group's children: its own, where its line is full, or `above`.
//
// What the children take is concave in the level, so a Newton step from where it is too much ends
// at or below the level that is looked for, and steps from there only rise. One that falls again
// is the rounding at a kink: the level is found.
void Trunk::find_level(std::uint32_t group, double above,
                       const std::function<void(std::uint32_t)>& moved) {
  Group& of = groups_[group];
  const double start = of.full ? std::min(of.level, above) : above;
  of.full = true;  // While it searches, the sites below see the level that is tried.
  set_level(group, start, moved);
  bool rose = false;
  for (int steps = 0;; ++steps) {
    LAMINA_ASSERT(steps < kStepsMax);
    double level = full_at(of);
    // Too much, and nobody follows: down to the first who would.
    if (of.following == 0 && of.line < kInfinite && of.fixed > to_fixed(of.line))
      level = -of.down.top_key();
    level = std::min(level, above);
    if (std::fabs(level - of.level) <= kSame * level || level == of.level ||
        (rose && level < of.level)) {
      if (level == above && of.level != above) set_level(group, above, moved);
      break;
    }
    rose |= level > of.level;
    set_level(group, level, moved);
  }
  of.full = of.level < above;
  dirty_[group] = 0;
}

void Trunk::settle(const std::function<void(std::uint32_t)>& moved) {
  // From below: a group is settled under its parent's level, and tells the parent what it takes.
  // The parent may then ask it again with another level.
  for (auto group = static_cast<std::uint32_t>(groups_.size()); group-- > 0;) {
    if (!dirty_[group]) continue;
    find_level(group, parent_level(group), moved);
    if (group > 0) set_demand(child_of_group(group), demand_of(group));
  }
}

Instant Trunk::next() const {
  Instant first = kNever;
  for (std::uint32_t i = 0; i < groups_.size(); ++i) {
    const Group& group = groups_[i];
    if (!group.full) continue;
    const double end = first_end(i);
    if (end < kInfinite) first = std::min(first, time_after(now_, end - group.clock, group.level));
  }
  return first;
}

std::uint32_t Trunk::next_site() const {
  const Instant first = next();
  for (std::uint32_t i = 0; i < groups_.size(); ++i) {
    if (!groups_[i].full) continue;
    double end = first_end(i);
    if (end == kInfinite || time_after(now_, end - groups_[i].clock, groups_[i].level) != first)
      continue;
    for (std::uint32_t group = i;;) {
      const Group& of = groups_[group];
      if (!of.ends.empty() && of.ends.top_key() <= end) {
        const std::uint32_t child = of.children[of.ends.top()];
        return child - static_cast<std::uint32_t>(groups_.size());
      }
      std::uint32_t best = group;
      double best_end = kInfinite;
      for (const std::uint32_t child : of.children) {
        if (child >= groups_.size()) break;
        if (groups_[child].full) continue;
        const double below = of.clock + (first_end(child) - groups_[child].clock);
        if (below < best_end) {
          best_end = below;
          best = child;
        }
      }
      LAMINA_ASSERT(best != group);
      group = best;
      end = first_end(group);
    }
  }
  LAMINA_ASSERT(false);
  return 0;
}

}  // namespace lamina::sim
