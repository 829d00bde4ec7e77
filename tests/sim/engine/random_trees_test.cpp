// The engine against the slow way, on many small trees with everything that can happen in them.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "sim/engine/random.hpp"
#include "tests/sim/engine/tree_case.hpp"

using namespace lamina::sim;
using namespace lamina::sim::testing;

namespace {

// A tree drawn by its number: one to four levels of lines, two priorities, flows that come late and
// pause, lines that change their rate or stand still for a while.
TreeCase tree_number(std::uint64_t number) {
  const Random random(number);
  std::uint64_t drawn = 0;
  const auto draw = [&] { return random.uniform(0, 1, drawn++); };
  const auto upto = [&](int most) { return static_cast<std::uint32_t>(draw() * most); };
  const auto rate = [&](double low, double high) {
    return low * portable_exp(draw() * portable_log(high / low));
  };
  const auto moment = [&] { return static_cast<std::int64_t>(draw() * 400e9); };

  TreeCase tree;
  if (draw() < 0.8) tree.groups[0].line = rate(3e5, 3e7);
  const std::uint32_t regions = upto(4);
  for (std::uint32_t i = 1; i <= regions; ++i)
    tree.groups.push_back({upto(static_cast<int>(i)), draw() < 0.3 ? kInfinite : rate(3e5, 1e7)});
  const std::uint32_t sites = 1 + upto(6);
  for (std::uint32_t i = 0; i < sites; ++i) {
    TreeSite site{upto(static_cast<int>(tree.groups.size())), rate(2e5, 1e7), {}, {}};
    const std::uint32_t segments = 1 + upto(3);
    for (std::uint32_t s = 0; s < segments; ++s)
      site.segments.push_back(draw() < 0.4 ? kInfinite : rate(1e5, 5e6));
    const std::uint32_t bundles = 1 + upto(6);
    for (std::uint32_t b = 0; b < bundles; ++b)
      site.bundles.push_back({static_cast<std::uint16_t>(upto(static_cast<int>(segments))),
                              draw() < 0.3 ? kBackground : kForeground,
                              draw() < 0.2 ? kInfinite : rate(5e4, 3e6)});
    tree.sites.push_back(site);
  }
  const std::uint32_t flows = 1 + upto(30);
  for (std::uint32_t i = 0; i < flows; ++i) {
    TreeFlow flow;
    flow.site = upto(static_cast<int>(sites));
    flow.bundle = upto(static_cast<int>(tree.sites[flow.site].bundles.size()));
    flow.bytes = std::floor(rate(1e6, 1e9));
    flow.start_ns = draw() < 0.4 ? 0 : moment();
    std::int64_t from = flow.start_ns;
    while (draw() < 0.25) {
      const std::int64_t pause = from + 1 + moment() / 8;
      from = pause + 1 + moment() / 8;
      flow.pauses.emplace_back(pause, from);
    }
    tree.flows.push_back(flow);
  }
  const std::uint32_t steps = upto(6);
  for (std::uint32_t i = 0; i < steps; ++i) {
    Step step{moment(), static_cast<LineOf>(upto(4)), 0, 0, rate(1e5, 1e7)};
    if (step.kind == LineOf::group) {
      step.index = upto(static_cast<int>(tree.groups.size()));
      if (tree.groups[0].line == kInfinite) continue;
    } else {
      step.index = upto(static_cast<int>(sites));
      const TreeSite& site = tree.sites[step.index];
      step.part = upto(static_cast<int>(step.kind == LineOf::segment ? site.segments.size()
                                                                     : site.bundles.size()));
    }
    if (draw() < 0.3) {  // It stands still, and comes back.
      Step still = step;
      still.rate = 0;
      step.at_ns += 1 + moment() / 4;
      tree.steps.push_back(still);
    }
    tree.steps.push_back(step);
  }
  return tree;
}

}  // namespace

TEST_CASE("random trees: every flow ends when the slow way says, and the shares are fair") {
  double worst = 0;
  int ended = 0;
  for (std::uint64_t number = 1; number <= 1000; ++number) {
    const TreeCase tree = tree_number(number);
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
