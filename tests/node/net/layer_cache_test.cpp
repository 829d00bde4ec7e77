#include "node/net/layer_cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "shared/format/needed_packs.hpp"
#include "shared/swarm/piece_map.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/swarm.hpp"

using namespace lamina;
using namespace lamina::node;
using tests::Scratch;

namespace {

// A device's cache, and layers as an origin would send them.
struct Bench {
  Bench() {
    REQUIRE(state.prepare({::geteuid(), ::getegid(), ""}));
    keys = {origin.public_key(), {publisher.public_key()}};
    cache.emplace(state, keys);
  }
  // A layer of about a megabyte of its own, whole in the cache.
  LayerFiles fetch(int n, std::vector<LayerId> unless = {}, std::uint64_t chunks = 10) {
    LayerFiles files = make(n, std::move(unless), chunks);
    for (const auto& pack : files.packs) {
      if (!pack.unless.empty()) continue;
      const auto bytes = os::read_file(scratch / ("layers/packs/" + pack.id.hex()), 1 << 26);
      REQUIRE(os::write_file(state.packs() + '/' + pack.id.hex(), bytes.value()));
      REQUIRE(swarm::finish_pack(state.cache(), pack.id, pack.size));
    }
    return files;
  }
  // Its records only. With `unless`: what is in its first pack is in that layer too.
  LayerFiles make(int n, std::vector<LayerId> unless = {}, std::uint64_t chunks = 10) {
    const auto swarm =
        tests::SwarmLayer::make(scratch, ca, chunks, 1000 * static_cast<unsigned>(n));
    format::LayerRecord record{
        .name = "os", .version = std::to_string(n), .revision = static_cast<unsigned>(n)};
    record.platform = {"linux", "debian", "12", "x86_64"};
    LayerEnvelopes sent;
    sent.record = format::sign_record(format::RecordType::layer, format::encode(record), publisher);
    sent.torrent = swarm.torrent.bytes;
    const LayerId id = format::layer_id(sent.record);
    format::DistributionRecord distribution{
        .layer = id, .sequence = 1, .torrent = swarm.torrent.id};
    distribution.packs = swarm.packs;
    std::ranges::sort(distribution.packs, {}, &format::DistributedPack::id);
    distribution.packs.front().unless = std::move(unless);
    sent.distribution =
        format::sign_record(format::RecordType::distribution, format::encode(distribution), origin);
    REQUIRE(keep_layer(state, id, sent, keys));
    return load_layer(state, id, keys).value();
  }
  // Which layer was used before which: seconds since 1970.
  void used_at(const LayerFiles& layer, int seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    REQUIRE(::utimensat(AT_FDCWD,
                        (state.records() + '/' + layer.layer.hex() + ".distribution").c_str(),
                        times, 0) == 0);
  }
  std::vector<LayerId> settle(LayerCache::Needs needs) {
    std::vector<LayerId> left;
    auto done = cache->settle(needs, [&](const LayerId& layer) { left.push_back(layer); });
    if (!done) FAIL(done.error().text());
    return left;
  }
  bool is_whole(const LayerFiles& layer) const {
    return missing_bytes(state, layer).count == 0 && load_layer(state, layer.layer, keys);
  }

  Scratch scratch;
  StateDirectory state{scratch / "state"};
  PrivateKey origin = *PrivateKey::generate();
  PrivateKey publisher = *PrivateKey::generate();
  net::KeyAndCertificate ca = net::make_ca("swarm").value();
  TrustedKeys keys;
  std::optional<LayerCache> cache;
};

}  // namespace

TEST_CASE("layer cache: former layers stay for the site while there is room", "[node]") {
  Bench bench;
  const auto old = bench.fetch(1), now = bench.fetch(2);
  CHECK(bench.settle({.target = {now}, .limit = 100_MiB}).empty());
  CHECK(bench.cache->kept().contains(old.layer));
  CHECK_FALSE(bench.cache->kept().contains(now.layer));
  CHECK(bench.is_whole(old));
  const auto state = bench.cache->look();
  CHECK(state.kept_bytes == old.size().count);
  CHECK(state.bytes >= old.size().count + now.size().count);
  CHECK(state.over_bytes == 0);
  // It is wanted again: kept for the device itself now.
  bench.cache->forget(old.layer);
  CHECK(bench.settle({.target = {old, now}, .limit = 100_MiB}).empty());
  CHECK(bench.cache->kept().empty());
}

TEST_CASE("layer cache: above the limit the least recently used leave, as whole layers", "[node]") {
  Bench bench;
  const auto target = bench.fetch(1), old = bench.fetch(2), older = bench.fetch(3);
  bench.used_at(old, 2000);
  bench.used_at(older, 1000);
  REQUIRE(bench.settle({.target = {target}, .limit = 100_MiB}).empty());
  REQUIRE(bench.cache->kept().size() == 2);
  // Room for two of three, and a tenth less.
  const Bytes limit{target.size().count * 5 / 2};
  CHECK(bench.settle({.target = {target}, .limit = limit}) == std::vector<LayerId>{older.layer});
  CHECK(bench.is_whole(target));
  CHECK(bench.is_whole(old));
  CHECK_FALSE(load_layer(bench.state, older.layer, bench.keys));
  for (const auto& pack : older.packs)
    CHECK_FALSE(os::exists(bench.state.packs() + '/' + pack.id.hex()));
  // One that serves is used: it stays in the place of the other.
  const auto again = bench.fetch(3);
  bench.used_at(again, 1000);
  bench.settle({.target = {target}, .limit = 100_MiB});
  bench.cache->used(again.layer);
  CHECK(bench.settle({.target = {target}, .limit = limit}) == std::vector<LayerId>{old.layer});
}

TEST_CASE("layer cache: what is assigned, staged or applied never leaves", "[node]") {
  Bench bench;
  const auto target = bench.fetch(1), staged = bench.fetch(2), applied = bench.fetch(3);
  bench.settle({.target = {target, staged}, .applied = {applied.layer}, .limit = Bytes{1}});
  CHECK(bench.is_whole(target));
  CHECK(bench.is_whole(staged));
  CHECK(bench.is_whole(applied));
  CHECK(bench.cache->look().over_bytes > 0);
  // Also where nothing is kept for the site.
  bench.settle({.target = {target}, .applied = {applied.layer}, .keeps_others = false});
  CHECK(bench.is_whole(applied));
  CHECK_FALSE(load_layer(bench.state, staged.layer, bench.keys));
  CHECK(bench.cache->kept().size() == 1);
}

TEST_CASE("layer cache: room is made for a layer before it comes", "[node]") {
  Bench bench;
  const auto old = bench.fetch(1);
  const Bytes limit{old.size().count * 3 / 2};
  CHECK(bench.settle({.target = {}, .limit = limit}).empty());
  const auto coming = bench.make(2);
  CHECK(bench.settle({.target = {coming}, .limit = limit}) == std::vector<LayerId>{old.layer});
  CHECK_FALSE(bench.is_whole(old));
  CHECK(load_layer(bench.state, coming.layer, bench.keys));
}

TEST_CASE("layer cache: a layer that is not whole is kept for nobody", "[node]") {
  Bench bench;
  const auto target = bench.fetch(1), broken = bench.fetch(2);
  bench.settle({.target = {target}, .limit = 100_MiB});
  REQUIRE(bench.cache->kept().contains(broken.layer));
  REQUIRE(os::remove_file(bench.state.trees() + '/' + broken.packs.front().id.hex()));
  CHECK(bench.settle({.target = {target}, .limit = 100_MiB}) == std::vector<LayerId>{broken.layer});
  CHECK(bench.cache->kept().empty());
  CHECK_FALSE(bench.cache->keep(bench.make(3)));
  CHECK(bench.cache->keep(target));
}

TEST_CASE("layer cache: a rebuild reads every whole pack once, and drops what rotted", "[node]") {
  Bench bench;
  const auto sound = bench.fetch(1), rotten = bench.fetch(2), coming = bench.make(3);
  const auto& pack = rotten.packs.front();
  {
    const os::Descriptor file(
        ::open((bench.state.packs() + '/' + pack.id.hex()).c_str(), O_WRONLY));
    REQUIRE(os::write_all_at(file.get(), to_buffer("!!"), pack.size / 2, "pack"));
  }
  const auto check = verify_packs(bench.state, {sound, rotten, sound, coming});
  REQUIRE(check);
  CHECK(check->packs == sound.packs.size() + rotten.packs.size());
  CHECK(check->read == sound.size() + rotten.size());
  CHECK(check->damaged == std::set<PackId>{pack.id});
  CHECK_FALSE(os::exists(bench.state.packs() + '/' + pack.id.hex()));
  CHECK(missing_bytes(bench.state, rotten).count == static_cast<std::int64_t>(pack.size));
  CHECK(bench.is_whole(sound));
}

TEST_CASE("layer cache: without a layer before, the packs of the update from nothing are needed",
          "[node]") {
  Bench bench;
  auto layer = bench.make(1, {}, 30);
  REQUIRE(layer.packs.size() >= 3);
  const auto first = layer.packs.front(), last = layer.packs.back();
  std::int64_t others = 0;
  for (std::size_t i = 1; i + 1 < layer.packs.size(); ++i)
    others += static_cast<std::int64_t>(layer.packs[i].size);
  layer.packs.front().unless_updated = {format::kNoLayer};
  layer.packs.front().size = last.size + 1;  // So that the update is worth it.
  layer.packs.back().update_from = {format::kNoLayer};

  auto leaning = leaning_of(bench.state, layer);
  CHECK(leaning.update == format::kNoLayer);
  CHECK(leaning.unneeded == std::set{first.id});
  CHECK(leaning.upon.empty());
  CHECK(missing_bytes(bench.state, layer).count == others + static_cast<std::int64_t>(last.size));
  const auto replaced = replaced_packs(layer, format::kNoLayer);
  REQUIRE(replaced.size() == 1);
  CHECK(replaced[0].id == first.id);

  SECTION("not where it costs more than it saves") { layer.packs.front().size = last.size; }
  SECTION("not where another device fetches for this one") { layer.is_fetched_for = true; }
  SECTION("not for the site, whose other devices may have other layers") {
    layer.is_for_site = true;
  }
  SECTION("not once it was given up") {
    layer.rebuilt[layer.layer] = {format::kNoLayer, {}, {first.id}};
  }
  SECTION("what came out of it is read, and leans on nothing") {
    const auto made = bench.fetch(3).packs;
    layer.rebuilt[layer.layer] = {format::kNoLayer, made, {}};
    leaning = leaning_of(bench.state, layer);
    CHECK_FALSE(leaning.update);
    CHECK(leaning.unneeded == std::set{first.id, last.id});
    CHECK(leaning.upon.empty());
    CHECK(missing_bytes(bench.state, layer).count == others);
    return;
  }
  leaning = leaning_of(bench.state, layer);
  CHECK_FALSE(leaning.update);
  CHECK(leaning.unneeded == std::set{last.id});
}

TEST_CASE("layer cache: with the layer before, the packs of the update are needed alone",
          "[node]") {
  Bench bench;
  const auto base = bench.fetch(1, {}, 30);
  // The layer's last pack is of the update, which stands for the first.
  auto next = bench.make(2, {}, 30);
  REQUIRE(next.packs.size() >= 3);
  const auto bring = [&](const format::DistributedPack& pack) {
    const auto bytes = os::read_file(bench.scratch / ("layers/packs/" + pack.id.hex()), 1 << 26);
    REQUIRE(os::write_file(bench.state.packs() + '/' + pack.id.hex(), bytes.value()));
    REQUIRE(swarm::finish_pack(bench.state.cache(), pack.id, pack.size));
  };
  for (std::size_t i = 1; i + 1 < next.packs.size(); ++i) bring(next.packs[i]);
  const auto first = next.packs.front(), last = next.packs.back();
  next.packs.front().unless_updated = {base.layer};
  next.packs.back().update_from = {base.layer};
  next.packs.back().size = last.size;
  next.packs.front().size = last.size + 1;  // So that the update is worth it.
  next.bases.emplace(base.layer, base.packs);

  auto leaning = leaning_of(bench.state, next);
  CHECK(leaning.update == base.layer);
  CHECK(leaning.unneeded == std::set{first.id});
  CHECK(leaning.upon == std::set{base.layer});
  CHECK_FALSE(leaning.is_fresh);
  CHECK(missing_bytes(bench.state, next).count == static_cast<std::int64_t>(last.size));

  SECTION("not where it costs more than it saves") {
    next.packs.front().size = last.size;
    leaning = leaning_of(bench.state, next);
    CHECK_FALSE(leaning.update);
    CHECK(leaning.unneeded == std::set{last.id});
    CHECK(leaning.is_fresh);
  }
  SECTION("not for the site, whose other devices have nothing to update") {
    next.is_for_site = true;
    leaning = leaning_of(bench.state, next);
    CHECK_FALSE(leaning.update);
    CHECK(leaning.unneeded == std::set{last.id});
  }
  SECTION("for another device of the site, which has the layer before") {
    const auto other = tests::id_of<LayerId>(9);
    next.packs.front().unless_updated = next.packs.back().update_from = {other};
    leaning = leaning_of(bench.state, next);
    CHECK_FALSE(leaning.update);
    CHECK(leaning.unneeded == std::set{last.id});
    next.updates_for_site = {other};
    leaning = leaning_of(bench.state, next);
    CHECK_FALSE(leaning.update);      // Itself it takes the layer's own packs...
    CHECK(leaning.unneeded.empty());  // ...and those of the update.
    next.is_for_site = true;
    CHECK(leaning_of(bench.state, next).unneeded.empty());
  }
  SECTION("not without the layer before") {
    REQUIRE(os::remove_file(bench.state.trees() + '/' + base.packs.back().id.hex()));
    leaning = leaning_of(bench.state, next);
    CHECK_FALSE(leaning.update);
    CHECK(leaning.unneeded == std::set{last.id});
    CHECK(leaning.is_fresh);
  }
  SECTION("once it was taken, what came of it is read") {
    const auto made = bench.fetch(3).packs;
    next.rebuilt[next.layer] = {base.layer, made, {}};
    leaning = leaning_of(bench.state, next);
    CHECK_FALSE(leaning.update);
    CHECK(leaning.unneeded == std::set{first.id, last.id});
    CHECK(leaning.upon == std::set{base.layer});
    CHECK(missing_bytes(bench.state, next).count == 0);
    const auto reads = [&](const PackId& id) {
      return std::ranges::find(leaning.packs, id, &format::DistributedPack::id) !=
             leaning.packs.end();
    };
    CHECK(reads(made.front().id));
    CHECK(reads(base.packs.front().id));
    CHECK_FALSE(reads(last.id));
    // It stays with the layer, and goes with it.
    REQUIRE(write_rebuilt(bench.state, next.layer, next.rebuilt.at(next.layer)));
    REQUIRE(remove_others(bench.state, {next, base}, false));
    CHECK(os::exists(bench.state.packs() + '/' + made.front().id.hex()));
    CHECK(read_rebuilt(bench.state, next.layer));
    // A pack of it is damaged: the update again.
    REQUIRE(os::remove_file(bench.state.trees() + '/' + made.front().id.hex()));
    CHECK(leaning_of(bench.state, next).update == base.layer);
    REQUIRE(remove_others(bench.state, {base}, true));
    CHECK_FALSE(os::exists(bench.state.packs() + '/' + made.front().id.hex()));
    CHECK_FALSE(read_rebuilt(bench.state, next.layer));
  }
  SECTION("what it did not give is needed in full, and it is not tried again") {
    next.rebuilt[next.layer] = {base.layer, {}, {first.id}};
    leaning = leaning_of(bench.state, next);
    CHECK_FALSE(leaning.update);
    CHECK(leaning.unneeded == std::set{last.id});
  }
}

TEST_CASE("layer cache: of a pack that an update did not give all of, pieces are needed",
          "[node]") {
  Bench bench;
  const auto base = bench.fetch(1, {}, 30);
  auto next = bench.make(2, {}, 30);
  auto& pack = next.packs.front();
  REQUIRE(pack.size > 3 * swarm::kPieceSize);
  const Bytes all = missing_bytes(bench.state, next);
  pack.unless_updated = {base.layer};
  next.bases.emplace(base.layer, base.packs);
  Rebuilt made{base.layer, {}, {}};
  made.parts[pack.id] = {{tests::id_of<ChunkId>(7)}, {{10, 20}, {300'000, 600'000}}};
  made.figures = {1234, 5, 6, 7, 8};
  next.rebuilt[next.layer] = made;

  auto leaning = leaning_of(bench.state, next);
  CHECK_FALSE(leaning.unneeded.contains(pack.id));
  auto expected = swarm::PieceBits((pack.size + swarm::kPieceSize - 1) / swarm::kPieceSize, false);
  expected[0] = expected[1] = expected[2] = true;
  CHECK(leaning.partly == swarm::PieceMap{{pack.id, expected}});
  CHECK(leaning.upon == std::set{base.layer});
  CHECK_FALSE(leaning.update);
  CHECK(missing_bytes(bench.state, next) ==
        all - Bytes{static_cast<std::int64_t>(pack.size - 3 * swarm::kPieceSize)});
  CHECK(missing_packs(bench.state, next, leaning) ==
        all - Bytes{static_cast<std::int64_t>(pack.size)});

  SECTION("it is remembered") {
    REQUIRE(write_rebuilt(bench.state, next.layer, made));
    const auto read = read_rebuilt(bench.state, next.layer);
    REQUIRE(read);
    CHECK(read->base == made.base);
    CHECK(read->parts == made.parts);
    CHECK(read->figures == made.figures);
    REQUIRE(
        os::write_file(record_path(bench.state, next.layer, "rebuilt"), to_buffer("LMrb0002?")));
    CHECK_FALSE(read_rebuilt(bench.state, next.layer));
  }
  SECTION("not where others are to get all of it") {
    next.is_for_site = true;
    CHECK(leaning_of(bench.state, next).partly.empty());
    CHECK(missing_bytes(bench.state, next) == all);
  }
  SECTION("not where it came whole") {
    const auto bytes = os::read_file(bench.scratch / ("layers/packs/" + pack.id.hex()), 1 << 26);
    REQUIRE(os::write_file(bench.state.packs() + '/' + pack.id.hex(), bytes.value()));
    REQUIRE(swarm::finish_pack(bench.state.cache(), pack.id, pack.size));
    leaning = leaning_of(bench.state, next);
    CHECK(leaning.partly.empty());
    CHECK_FALSE(leaning.unneeded.contains(pack.id));
  }
}

TEST_CASE("layer cache: a layer is whole without packs that another layer stands in for",
          "[node]") {
  Bench bench;
  const auto base = bench.fetch(1, {}, 30);
  const auto next = bench.fetch(2, {base.layer}, 30);
  const PackId skipped = next.packs.front().id;
  REQUIRE(next.packs.size() > 1);
  CHECK(bench.is_whole(next));
  auto leaning = leaning_of(bench.state, next);
  CHECK(leaning.unneeded == std::set{skipped});
  CHECK(leaning.upon == std::set{base.layer});
  CHECK(leaning.packs.size() == next.packs.size() - 1 + base.packs.size());
  CHECK_FALSE(leaning.is_fresh);

  SECTION("one that leans on it in turn leans on both") {
    const auto last = bench.fetch(3, {next.layer}, 30);
    CHECK(bench.is_whole(last));
    CHECK(leaning_of(bench.state, last).upon == std::set{base.layer, next.layer});
  }
  SECTION("the other one lost a pack: the layer lacks its own") {
    REQUIRE(os::remove_file(bench.state.trees() + '/' + base.packs.back().id.hex()));
    leaning = leaning_of(bench.state, next);
    CHECK(leaning.unneeded.empty());
    CHECK(leaning.is_fresh);
    CHECK(missing_bytes(bench.state, next).count ==
          static_cast<std::int64_t>(next.packs.front().size));
  }
  SECTION("a pack of the other one is damaged: found where the layer is read back") {
    const std::string path = bench.state.packs() + '/' + base.packs.back().id.hex();
    Buffer bytes = os::read_file(path, 1 << 26).value();
    bytes[100] ^= std::byte{1};
    REQUIRE(os::write_file(path, bytes));
    CHECK(forget_damaged_packs(bench.state, next).value() == 1);
    CHECK_FALSE(bench.is_whole(next));
  }
  SECTION("the other one is of the same target, and still to come") {
    REQUIRE(os::remove_file(bench.state.trees() + '/' + base.packs.back().id.hex()));
    LayerFiles placed = next;
    placed.beside = {base.layer};
    CHECK(missing_bytes(bench.state, placed).count == 0);
  }
  SECTION("too much would have to stay for it") {
    const auto large = bench.fetch(4, {}, 400);
    const auto little = bench.fetch(5, {large.layer});
    CHECK(leaning_of(bench.state, little).upon.empty());
    CHECK(leaning_of(bench.state, little).is_fresh);
  }
  SECTION("the site needs all of its packs") {
    LayerFiles placed = next;
    placed.is_for_site = true;
    leaning = leaning_of(bench.state, placed);
    CHECK(leaning.unneeded.empty());
    CHECK(leaning.is_fresh);
    CHECK(missing_bytes(bench.state, placed).count > 0);
  }
}

TEST_CASE("layer cache: what a layer leans on stays as long as it does", "[node]") {
  Bench bench;
  const auto base = bench.fetch(1, {}, 30);
  const auto next = bench.fetch(2, {base.layer}, 30);
  SECTION("a layer of the target, whatever the room and the settings") {
    CHECK(bench.settle({.target = {next}, .keeps_others = false, .limit = 1_KiB}).empty());
    CHECK(bench.is_whole(base));
    CHECK(bench.is_whole(next));
    CHECK(bench.cache->look().over_bytes > 0);
    CHECK(bench.cache->look().kept_bytes == 0);  // Nothing is kept but what is needed.
  }
  SECTION("an applied one, over a restart") {
    const auto other = bench.fetch(3);
    const LayerCache::Needs needs{
        .target = {other}, .applied = {next.layer}, .keeps_others = false, .limit = 1_KiB};
    bench.settle(needs);
    CHECK(bench.is_whole(base));
    bench.cache.emplace(bench.state, bench.keys);
    bench.settle(needs);
    CHECK(bench.is_whole(next));
    CHECK(bench.is_whole(base));
  }
  SECTION("nothing needs it any more") {
    const auto other = bench.fetch(3);
    bench.settle({.target = {other}, .keeps_others = false, .limit = 100_MiB});
    CHECK_FALSE(os::exists(bench.state.packs() + '/' + base.packs.front().id.hex()));
  }
}
