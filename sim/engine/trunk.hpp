// Trunk shares the lines above the sites, the origin's and those of regions, for one direction and
// one priority.
//
// Groups form a tree: group 0 is the origin, each other has a parent with a lower number; a site
// hangs on any group. What a site takes is known as a Demand, so that a level is found by Newton
// steps on the sum of the children's demands, a concave function made of straight pieces: only
// children whose own piece ends on the way are asked again. A group whose line is not full passes
// its parent's level on; its clock, the integral of its level, is what flows below measure their
// progress by (site_lines.hpp). An event costs O(log children) for each group above the site, and a
// look at each site whose regime changes.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/engine/indexed_heap.hpp"
#include "sim/engine/rates.hpp"
#include "sim/engine/site_lines.hpp"

namespace lamina::sim {

struct TrunkGroup {
  std::uint32_t parent = 0;  // Of group 0: itself.
  Rate line = kInfinite;
};

class Trunk {
 public:
  // `sites`: the group of each. All idle at `now`.
  Trunk(const std::vector<TrunkGroup>& groups, const std::vector<std::uint32_t>& sites,
        Instant now = Instant{});

  // Brings the clocks to `now`, not earlier than before.
  void advance(Instant now);
  // What a site is given. As of the last advance() and settle().
  Feed feed(std::uint32_t site) const;

  // Then settle() once all that changed at this moment is told. `by_clock`: the feed's clock at
  // which the site's first following flow ends.
  void set_site(std::uint32_t site, const Demand& demand, double by_clock);
  void set_line(std::uint32_t group, Rate rate);

  // Finds the levels. `moved(site)` is called for each site whose feed left the range of its
  // demand: it must share its lines anew with feed(site) and tell set_site() before it returns.
  void settle(const std::function<void(std::uint32_t site)>& moved);

  // When the first flow ends that follows a level; kNever: none does.
  Instant next() const;
  // Whose flow that is. Only if next() is not kNever.
  std::uint32_t next_site() const;

  Rate line(std::uint32_t group) const { return groups_[group].line; }
  // What goes over the group's line.
  Rate used(std::uint32_t group) const;
  bool is_full(std::uint32_t group) const { return groups_[group].full; }
  // The group whose level the site is given; the origin, where none is full.
  std::uint32_t full_group(std::uint32_t site) const;
  // Seconds and bytes since the beginning, as of the last advance().
  double full_seconds(std::uint32_t group) const { return groups_[group].full_seconds; }
  double carried(std::uint32_t group) const { return groups_[group].carried; }

 private:
  struct Child {
    std::uint32_t group = 0;  // Of which.
    std::uint32_t slot = 0;   // Its place in that group's heaps.
    Demand demand;
  };
  struct Group : TrunkGroup {
    bool full = false;         // Its own level holds; else the parent's.
    double level = kInfinite;  // Of the children; where not full, as it was when last looked for.
    double clock = 0;
    double carried = 0;
    double full_seconds = 0;
    std::int64_t following = 0;  // Sums over the children's demands.
    FixedRate fixed = 0;
    std::vector<std::uint32_t> children;  // By slot: index into children_.
    IndexedHeap<double> up, down;         // By slot: ends of the demands; `down` is negated.
    IndexedHeap<double> ends;             // By slot: in this group's clock.
  };

  std::uint32_t child_of_group(std::uint32_t group) const { return group; }
  std::uint32_t child_of_site(std::uint32_t site) const {
    return static_cast<std::uint32_t>(groups_.size()) + site;
  }
  double level_of(std::uint32_t group) const;
  double parent_level(std::uint32_t group) const;
  double first_end(std::uint32_t group) const;
  void set_demand(std::uint32_t child, const Demand& demand);
  Demand demand_of(std::uint32_t group) const;
  double full_at(const Group& of) const;
  void set_level(std::uint32_t group, double level,
                 const std::function<void(std::uint32_t)>& moved);
  void find_level(std::uint32_t group, double above,
                  const std::function<void(std::uint32_t)>& moved);
  void mark(std::uint32_t group);

  std::vector<Group> groups_;
  std::vector<Child> children_;      // Groups, then sites.
  std::vector<std::uint8_t> dirty_;  // By group: settle() has to look at it.
  Instant now_;
};

}  // namespace lamina::sim
