// What paper and pencil say about one or two flows, or many alike.
#include <catch2/catch.hpp>

#include "tests/sim/engine/tree_case.hpp"

using namespace lamina::sim;
using namespace lamina::sim::testing;

namespace {

constexpr Rate kLine = 2.5e6;  // 20 Mbit/s.

std::int64_t at(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

// One site behind `kLine`; bundle 0 has no cap, bundle 1 has 500 kB/s.
TreeCase one_site(std::vector<TreeFlow> flows, std::vector<Step> steps = {}) {
  TreeCase tree;
  tree.sites = {{0, kLine, {kInfinite}, {{}, {.cap = 5e5}}}};
  tree.flows = std::move(flows);
  tree.steps = std::move(steps);
  return tree;
}

// The ends in seconds, with a bound above that changes nothing, and without: coupled and alone.
std::vector<double> ends_of(TreeCase tree) {
  const TreeEnds alone = run_engine(tree);
  REQUIRE(alone.broken == "");
  tree.groups[0].line = 1e9;
  const TreeEnds coupled = run_engine(tree);
  REQUIRE(coupled.broken == "");
  REQUIRE(alone.ns == coupled.ns);
  return alone.seconds;
}

Approx exactly(double seconds) { return Approx(seconds).epsilon(1e-9); }

}  // namespace

TEST_CASE("closed forms: one flow takes the whole line") {
  CHECK(ends_of(one_site({{0, 0, 1e9}}))[0] == exactly(400));
}

TEST_CASE("closed forms: a flow with a cap leaves the rest to the other") {
  const auto ends = ends_of(one_site({{0, 0, 1e9}, {0, 1, 1e8}}));
  CHECK(ends[0] == exactly((1e9 - 200 * 2e6) / kLine + 200));
  CHECK(ends[1] == exactly(200));
}

TEST_CASE("closed forms: equal flows share evenly, and the longer one has the line afterwards") {
  const auto ends = ends_of(one_site({{0, 0, 1e9}, {0, 0, 2e9}}));
  CHECK(ends[0] == exactly(800));
  CHECK(ends[1] == exactly(1200));
}

TEST_CASE("closed forms: a late joiner takes half from then on") {
  const auto ends = ends_of(one_site({{0, 0, 1e9}, {0, 0, 1e9, at(100)}}));
  CHECK(ends[0] == exactly(100 + (1e9 - 100 * kLine) / (kLine / 2)));
  CHECK(ends[1] == exactly(800));
}

TEST_CASE("closed forms: a pause costs its length, and the other has the line meanwhile") {
  CHECK(ends_of(one_site({{0, 0, 1e9, 0, {{at(100), at(160)}}}}))[0] == exactly(460));
  const auto ends = ends_of(one_site({{0, 0, 1e9, 0, {{at(100), at(200)}}}, {0, 0, 1e9}}));
  // The first has had 125 MB at 100 s, the second 125 MB, and 375 MB at 200 s.
  CHECK(ends[1] == exactly(200 + 625e6 / (kLine / 2)));
  CHECK(ends[0] == exactly(800));
}

TEST_CASE("closed forms: a line changes its rate in the middle of a flow") {
  const Step slower{at(100), LineOf::site, 0, 0, kLine / 5};
  CHECK(ends_of(one_site({{0, 0, 1e9}}, {slower}))[0] == exactly(100 + 750e6 / (kLine / 5)));
  const Step stands{at(100), LineOf::site, 0, 0, 0};
  const Step runs{at(1000), LineOf::site, 0, 0, kLine};
  CHECK(ends_of(one_site({{0, 0, 1e9}}, {stands, runs}))[0] == exactly(1300));
}

TEST_CASE("closed forms: N devices fetch F bytes each over a line of W in N F / W") {
  std::vector<TreeFlow> flows(250, TreeFlow{0, 0, 4e8});
  for (const double end : ends_of(one_site(flows))) CHECK(end == exactly(250 * 4e8 / kLine));
}

TEST_CASE("closed forms: background stands still while foreground fills the line") {
  TreeCase tree = one_site({{0, 0, 1e9}, {0, 1, 1e9}});
  tree.sites[0].bundles = {{.priority = kBackground}, {.priority = kForeground}};
  const auto ends = ends_of(tree);
  CHECK(ends[1] == exactly(400));
  CHECK(ends[0] == exactly(800));
}

TEST_CASE("closed forms: a full origin is shared by flows, whatever their sites") {
  TreeCase tree;
  tree.groups[0].line = 4e6;
  tree.sites = {{0, kLine, {kInfinite}, {{}}}, {0, 5e5, {kInfinite}, {{}}}};
  // The second site's line holds its flow; three of the first share what that leaves, and its own
  // line is the lower bound.
  tree.flows = {{0, 0, 1e9}, {0, 0, 1e9}, {0, 0, 1e9}, {1, 0, 1e9}};
  const TreeEnds wide = run_engine(tree);
  CHECK(wide.broken == "");
  CHECK(wide.seconds[0] == exactly(3e9 / kLine));
  CHECK(wide.seconds[3] == exactly(2000));
  tree.groups[0].line = 1.6e6;  // Now 400 kB/s for each.
  const TreeEnds full = run_engine(tree);
  CHECK(full.broken == "");
  CHECK(full.seconds[0] == exactly(2500));
  CHECK(full.seconds[3] == exactly(2500));
  CHECK(full.group_bytes[0] == exactly(4e9));
}

TEST_CASE("closed forms: a region's line holds its sites back, and the rest goes to the others") {
  TreeCase tree;
  tree.groups = {{0, 3e6}, {0, 1e6}};
  tree.sites = {{1, kLine, {kInfinite}, {{}}}, {0, kLine, {kInfinite}, {{}}}};
  tree.flows = {{0, 0, 1e9}, {1, 0, 1e9}};
  const TreeEnds ends = run_engine(tree);
  CHECK(ends.broken == "");
  CHECK(ends.seconds[1] == exactly(500));
  CHECK(ends.seconds[0] == exactly(1000));
}
