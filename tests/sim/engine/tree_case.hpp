// A tree of lines and the flows over it, as data; and two ways to compute when the flows end: the
// engine, checked at each event, and a slow, obvious second implementation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/engine/network.hpp"

namespace lamina::sim::testing {

inline constexpr std::int64_t kSecondNs = 1'000'000'000;

struct TreeFlow {
  std::uint32_t site = 0;
  std::uint32_t bundle = 0;
  double bytes = 0;
  std::int64_t start_ns = 0;
  // From the first until the second of each pair it stands still. Ascending, after the start.
  std::vector<std::pair<std::int64_t, std::int64_t>> pauses;
};

enum class LineOf : std::uint8_t { group, site, segment, cap };
struct Step {  // From then on the line, or the cap of a bundle, has another rate.
  std::int64_t at_ns = 0;
  LineOf kind = LineOf::site;
  std::uint32_t index = 0;  // Of the group or site.
  std::uint32_t part = 0;   // Of the segment or bundle in the site.
  Rate rate = 0;
};

struct TreeSite {
  std::uint32_t group = 0;
  Rate line = 0;
  std::vector<Rate> segments;
  std::vector<SiteLines::Bundle> bundles;
};

struct TreeCase {
  std::vector<TrunkGroup> groups{{}};
  std::vector<TreeSite> sites;
  std::vector<TreeFlow> flows;
  std::vector<Step> steps;
};

struct TreeEnds {
  std::vector<double> seconds;      // When each flow ended; negative: it did not.
  std::vector<std::int64_t> ns;     // Likewise; only the engine.
  std::vector<double> site_bytes;   // Over each site's line.
  std::vector<double> group_bytes;  // Over each group's line; only where some group has a bound.
  std::string broken;               // The first thing that did not hold; empty: all did.
};

// A tree drawn by its number: one to five levels of lines, two priorities, flows that come late and
// pause, lines that change their rate or stand still for a while.
TreeCase random_tree(std::uint64_t number);

// With the engine. If `checked`, after each event: no line carries more than it can, and each flow
// is at its cap or at a full line where none of its priority gets more.
TreeEnds run_engine(const TreeCase& tree, bool checked = true);

// Raises all rates together until something is full, and freezes what crosses it; again for each
// event, from nothing. Time is a double.
TreeEnds run_slowly(const TreeCase& tree);

}  // namespace lamina::sim::testing
