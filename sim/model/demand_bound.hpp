// DemandBound adds up what sites take, each on its own, to see whether a line above them could have
// been full.
//
// Time is cut into equal pieces. A rate counts for each piece that it touches, so that the sum over
// all sites in a piece is at least what they took together at any moment in it. Sums are integers:
// their order does not matter. Not thread-safe; add up several with +=.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/model/plan.hpp"

namespace lamina::sim {

class DemandBound {
 public:
  // `plan` is the unbounded one, `groups` those of the bounded plan.
  DemandBound(const Plan& plan, const Groups& groups);

  void add_down(Index site, Instant from, Instant until, Rate rate) {
    add(down_, groups_.down, groups_.site_down[site], from, until, rate);
  }
  void add_up(Index site, Instant from, Instant until, Rate rate) {
    add(up_, groups_.up, groups_.site_up[site], from, until, rate);
  }
  DemandBound& operator+=(const DemandBound& other);

  // Whether no line above the sites can have been full at any time.
  bool fits() const;

 private:
  using Pieces = std::vector<std::vector<FixedRate>>;  // By group; differences to the piece before.
  void add(Pieces& pieces, const std::vector<TrunkGroup>& lines, std::uint32_t group, Instant from,
           Instant until, Rate rate);
  static bool fits(const Pieces& pieces, const std::vector<TrunkGroup>& lines);

  const Groups& groups_;
  Pieces down_, up_;
  std::int64_t piece_ns_;
};

}  // namespace lamina::sim
