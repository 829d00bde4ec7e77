// What an update did not give, out of packs of which parts are here. tests/e2e/update_test.py has
// the rest.
#include "node/net/updating.hpp"

#include <filesystem>

#include "shared/store/pack_set.hpp"
#include "shared/swarm/piece_map.hpp"
#include "tests/support/content.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/pack_parts.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using tests::noise;
using tests::ref_of;

namespace {

// A layer of one pack, of which an update gave all but some chunks.
struct Bench {
  Bench() {
    REQUIRE(state.prepare({::geteuid(), ::getegid(), ""}));
    PackWriter writer(origin, {.level = 1, .frame_bytes = 500'000},
                      [this](const format::PackSummary& pack) -> Status {
                        REQUIRE(layer.packs.empty());
                        layer.packs.push_back({.id = pack.id, .size = pack.size});
                        return Done{};
                      });
    for (std::uint64_t i = 0; i < 40; ++i) {
      chunks.push_back(noise(100'000, i));
      REQUIRE(writer.add(ref_of(chunks.back()), chunks.back(), ContentClass::compressed));
    }
    REQUIRE(writer.finish());
    layer.layer = tests::id_of<LayerId>(1);
    updating = Updating::open(loop, state, keys);
  }

  const format::DistributedPack& pack() const { return layer.packs.front(); }
  std::string path() const { return state.packs() + '/' + pack().id.hex(); }

  void lack(const std::vector<std::size_t>& wanted) {
    std::set<ChunkId> ids;
    for (const std::size_t i : wanted) ids.insert(ref_of(chunks[i]).id);
    Rebuilt rebuilt{.base = tests::id_of<LayerId>(2), .packs = {}, .lacking = {}};
    rebuilt.parts[pack().id] = make_part(ids, pack().size);
    rebuilt.figures = {.started_ms = 5, .chunks = 6, .bytes = 7, .lacking_chunks = wanted.size()};
    layer.rebuilt[layer.layer] = std::move(rebuilt);
  }
  void fetch() {
    tests::copy_ranges(origin.path_of(pack().id), path(), pack().size,
                       layer.rebuilt.at(layer.layer).parts.at(pack().id).ranges);
  }
  // What is here is taken; what is remembered of the layer is what the next call begins with.
  Updated take() {
    std::optional<Result<Updated>> updated;
    updating->take_parts(layer, [&](Result<Updated> result) { updated = std::move(result); });
    CHECK(updating->is_taking(layer.layer));
    loop.run_until([&] { return updated.has_value(); });
    if (!*updated) FAIL(updated->error().text());
    layer.rebuilt[layer.layer] = read_rebuilt(state, layer.layer).value();
    return std::move(**updated);
  }
  const Rebuilt& rebuilt() const { return layer.rebuilt.at(layer.layer); }

  tests::Scratch scratch;
  StateDirectory state{scratch / "state"};
  PackFiles origin = PackFiles::open(scratch / "origin", PackFiles::Access::write).value();
  std::vector<Buffer> chunks;
  LayerFiles layer;
  TrustedKeys keys;
  net::Loop loop;
  std::shared_ptr<Updating> updating;
};

}  // namespace

TEST_CASE("updating: what is lacking is taken out of a part of its pack", "[node]") {
  Bench bench;
  bench.lack({7, 31});
  bench.fetch();
  auto updated = bench.take();
  CHECK(updated.waits_for.count > 0);
  CHECK(updated.waits_for.count < static_cast<std::int64_t>(bench.pack().size) / 2);
  CHECK(updated.base == tests::id_of<LayerId>(2));
  CHECK(bench.rebuilt().packs.empty());
  CHECK(bench.rebuilt().lacking.empty());
  REQUIRE(bench.rebuilt().parts.size() == 1);

  const auto fetched = size_of(
      pieces_of(bench.rebuilt().parts.at(bench.pack().id), bench.pack().size), bench.pack().size);
  CHECK(updated.waits_for == fetched);
  bench.fetch();
  updated = bench.take();
  CHECK(updated.waits_for.count == 0);
  CHECK(updated.fallback == fetched);
  CHECK(updated.fallback_chunks == 2);
  CHECK((updated.started_ms == 5 && updated.chunks == 6 && updated.bytes.count == 7));
  CHECK(bench.rebuilt().parts.empty());
  REQUIRE(bench.rebuilt().packs.size() == 1);
  const auto& made = bench.rebuilt().packs.front();
  CHECK(swarm::is_whole(bench.state.cache(), made.id, made.size));
  PackSet set;
  REQUIRE(set.add(bench.state.packs() + '/' + made.id.hex(), "made"));
  set.seal();
  for (const std::size_t i : {7, 31})
    CHECK(set.read(ref_of(bench.chunks[i])).value() == bench.chunks[i]);
}

TEST_CASE("updating: a pack is fetched whole where its part is no use", "[node]") {
  Bench bench;
  bench.lack({7});
  SECTION("what came of it is damaged") {
    tests::copy_ranges(bench.origin.path_of(bench.pack().id), bench.path(), bench.pack().size, {});
    const auto updated = bench.take();
    CHECK_FALSE(updated.troubles.empty());
  }
  SECTION("it has not got the chunk") {
    bench.layer.rebuilt.at(bench.layer.layer).parts.at(bench.pack().id).chunks = {
        ref_of(noise(3, 3)).id};
    bench.fetch();
    CHECK_FALSE(bench.take().troubles.empty());
  }
  SECTION("most of it is needed") {
    std::vector<std::size_t> most;
    for (std::size_t i = 0; i < 34; ++i) most.push_back(i);
    bench.lack(most);
    bench.fetch();
    CHECK(bench.take().fallback.count == static_cast<std::int64_t>(bench.pack().size));
  }
  CHECK(bench.rebuilt().parts.empty());
  CHECK(bench.rebuilt().packs.empty());
  CHECK(bench.rebuilt().lacking == std::set{bench.pack().id});
}

TEST_CASE("updating: nothing is taken out of a pack that came whole meanwhile", "[node]") {
  Bench bench;
  bench.lack({7});
  tests::copy_ranges(bench.origin.path_of(bench.pack().id), bench.path(), bench.pack().size,
                     {{0, bench.pack().size}});
  REQUIRE(swarm::finish_pack(bench.state.cache(), bench.pack().id, bench.pack().size));
  const auto updated = bench.take();
  CHECK(updated.waits_for.count == 0);
  CHECK(bench.rebuilt().parts.empty());
  CHECK(bench.rebuilt().packs.empty());
  CHECK(bench.rebuilt().lacking.empty());
}

TEST_CASE("updating: what another device of the site made is taken as far as it is right",
          "[node]") {
  Bench bench;
  bench.lack({});
  auto& rebuilt = bench.layer.rebuilt.at(bench.layer.layer);
  rebuilt.parts.clear();
  rebuilt.awaited = {ref_of(bench.chunks[7]).id, ref_of(bench.chunks[31]).id};
  const auto give = [&](const std::vector<std::string>& paths) {
    std::optional<Result<Updated>> updated;
    bench.updating->take_from_site(bench.layer, paths,
                                   [&](Result<Updated> result) { updated = std::move(result); });
    bench.loop.run_until([&] { return updated.has_value(); });
    return std::move(*updated);
  };
  const std::string pack = bench.origin.path_of(bench.pack().id);

  SECTION("all of it") {
    const auto updated = give({pack});
    REQUIRE(updated);
    CHECK(updated->awaits == 0);
    CHECK(updated->chunks == 6 + 2);
    const auto kept = read_rebuilt(bench.state, bench.layer.layer).value();
    CHECK(kept.awaited.empty());
    REQUIRE(kept.packs.size() == 1);
    CHECK(kept.costly == std::set{kept.packs[0].id});  // To be given to others in turn.
    PackSet set;
    REQUIRE(set.add(bench.state.packs() + '/' + kept.packs[0].id.hex(), "made"));
    set.seal();
    for (const std::size_t i : {7, 31})
      CHECK(set.read(ref_of(bench.chunks[i])).value() == bench.chunks[i]);
    return;
  }
  std::vector<std::string> given{bench.scratch / "pack"};
  std::filesystem::copy(pack, given[0]);
  SECTION("a chunk is wrong") { tests::overwrite(given[0], 31 * 100'000 + 50'000, "!!"); }
  SECTION("it is no pack") { std::filesystem::resize_file(given[0], 1000); }
  SECTION("a chunk is not in it") { rebuilt.awaited.insert(ref_of(noise(3, 3)).id); }
  SECTION("it is nothing") { given.clear(); }
  const auto updated = give(given);
  REQUIRE_FALSE(updated);
  CHECK(updated.error().kind() == ErrorKind::corrupt);
  CHECK_FALSE(read_rebuilt(bench.state, bench.layer.layer));
}
