// The engine against the slow way, on many small trees with everything that can happen in them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/sim/engine/tree_case.hpp"

using namespace lamina::sim;
using namespace lamina::sim::testing;

TEST_CASE("random trees: every flow ends when the slow way says, and the shares are fair") {
  double worst = 0;
  int ended = 0;
  for (std::uint64_t number = 1; number <= 1000; ++number) {
    const TreeCase tree = random_tree(number);
    const TreeEnds fast = run_engine(tree);
    const TreeEnds slow = run_slowly(tree);
    INFO("tree " << number);
    REQUIRE(fast.broken == "");
    double all = 0;
    std::vector<double> by_site(tree.sites.size(), 0);
    for (std::size_t i = 0; i < tree.flows.size(); ++i) {
      INFO("flow " << i << ": " << fast.seconds[i] << " s, slowly " << slow.seconds[i] << " s");
      REQUIRE((fast.seconds[i] < 0) == (slow.seconds[i] < 0));
      if (fast.seconds[i] < 0) continue;
      ++ended;
      // The engine's time has whole nanoseconds: it ends up to one later.
      const double late = fast.seconds[i] - slow.seconds[i];
      const double error = std::max(0.0, std::fabs(late) - 1e-9) / slow.seconds[i];
      worst = std::max(worst, error);
      REQUIRE(error <= 1e-9);
      all += tree.flows[i].bytes;
      by_site[tree.flows[i].site] += tree.flows[i].bytes;
    }
    // All ended: what went over each line is what the flows were.
    for (std::size_t site = 0; site < by_site.size(); ++site)
      REQUIRE(fast.site_bytes[site] == Approx(by_site[site]).epsilon(1e-9));
    // A group counts what passes until the nanosecond in which a flow ends.
    if (tree.groups[0].line < kInfinite) {
      const double late = 1e-9 * 3e7 * static_cast<double>(tree.flows.size());
      REQUIRE(fast.group_bytes[0] == Approx(all).epsilon(1e-9).margin(late));
    }
  }
  CHECK(ended > 10'000);
  INFO("worst relative error " << worst);
  CHECK(worst < 1e-9);
}
