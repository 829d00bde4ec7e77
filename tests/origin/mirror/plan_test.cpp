#include "origin/mirror/plan.hpp"
#include "tests/support/ids.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;

namespace {

const LayerId kOs = id_of<LayerId>(1), kApp = id_of<LayerId>(2);
const TorrentId kOsTorrent = id_of<TorrentId>(1), kAppTorrent = id_of<TorrentId>(2);
const PackId kOne = id_of<PackId>(1), kTwo = id_of<PackId>(2), kShared = id_of<PackId>(3);

// Two layers of which both want one pack, and room for all.
MirrorFacts two_layers() {
  MirrorFacts facts;
  facts.listed = {kOs, kApp};
  facts.known[kOs] = {kOsTorrent, {{kOne, Bytes{100}}, {kShared, Bytes{30}}}};
  facts.known[kApp] = {kAppTorrent, {{kTwo, Bytes{50}}, {kShared, Bytes{30}}}};
  facts.free = Bytes{1000};
  facts.reserve = Bytes{10};
  return facts;
}

}  // namespace

TEST_CASE("mirror plan: records first, and nothing before the origin has spoken", "[origin]") {
  MirrorFacts facts;
  facts.free = Bytes{1000};
  CHECK(plan_mirror(facts).ask.empty());
  facts.held[kOne] = Bytes{100};
  facts.served = {kOsTorrent};
  auto plan = plan_mirror(facts);
  CHECK(plan.remove.empty());
  CHECK(plan.withdraw.empty());

  // Listed, but its records were lost: what is served stays until they are here again.
  facts.listed = {kOs};
  plan = plan_mirror(facts);
  CHECK(plan.ask == std::vector{kOs});
  CHECK(plan.remove.empty());
  CHECK(plan.withdraw.empty());
}

TEST_CASE("mirror plan: every pack once, the layer with the least to come first", "[origin]") {
  auto facts = two_layers();
  auto plan = plan_mirror(facts);
  CHECK(plan.fetch == std::vector{kTwo, kShared, kOne});
  CHECK(plan.missing == Bytes{180});
  CHECK(plan.serve.empty());

  facts.held = {{kTwo, Bytes{50}}, {kShared, Bytes{30}}};
  plan = plan_mirror(facts);
  CHECK(plan.serve == std::vector{kApp});
  CHECK(plan.fetch == std::vector{kOne});
  CHECK(plan.held == Bytes{80});
  facts.served = {kAppTorrent};
  plan = plan_mirror(facts);
  CHECK(plan.serve.empty());
  CHECK(plan.complete == std::vector{kApp});
}

TEST_CASE("mirror plan: what the origin removed goes, but for what another layer has", "[origin]") {
  auto facts = two_layers();
  facts.held = {{kOne, Bytes{100}}, {kTwo, Bytes{50}}, {kShared, Bytes{30}}};
  facts.served = {kOsTorrent, kAppTorrent};
  facts.partial = {{kOne, Bytes{7}}};
  CHECK(plan_mirror(facts).remove_partial == std::vector{kOne});
  facts.listed = {kOs};
  auto plan = plan_mirror(facts);
  CHECK(plan.withdraw == std::vector{kAppTorrent});
  CHECK(plan.forget == std::vector{kApp});
  CHECK(plan.remove == std::vector{kTwo});
  CHECK(plan.complete == std::vector{kOs});
  // Everything was removed.
  facts.listed.emplace();
  plan = plan_mirror(facts);
  CHECK(plan.withdraw.size() == 2);
  CHECK(plan.remove.size() == 3);
}

TEST_CASE("mirror plan: a pack of another size is no pack, and its layer is not served",
          "[origin]") {
  auto facts = two_layers();
  facts.held = {{kOne, Bytes{99}}, {kShared, Bytes{30}}};
  facts.served = {kOsTorrent};
  const auto plan = plan_mirror(facts);
  CHECK(plan.withdraw == std::vector{kOsTorrent});
  CHECK(plan.remove == std::vector{kOne});
  CHECK(std::set<PackId>(plan.fetch.begin(), plan.fetch.end()) == std::set<PackId>{kOne, kTwo});
}

TEST_CASE("mirror plan: space is counted before anything is fetched", "[origin]") {
  auto facts = two_layers();
  facts.free = Bytes{100};  // 90 may be used; 180 are to come.
  auto plan = plan_mirror(facts);
  CHECK(plan.fetch == std::vector{kTwo, kShared});
  CHECK(plan.lacking_space == Bytes{90});
  // What is half here takes no more.
  facts.partial = {{kOne, Bytes{95}}};
  plan = plan_mirror(facts);
  CHECK(plan.fetch == std::vector{kTwo, kShared, kOne});
  CHECK(plan.lacking_space == Bytes{0});
  facts.free = Bytes{5};
  plan = plan_mirror(facts);
  CHECK(plan.fetch.empty());
  CHECK(plan.lacking_space.count > 0);
}
