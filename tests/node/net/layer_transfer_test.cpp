#include "node/net/layer_transfer.hpp"

#include <fcntl.h>

#include "node/net/layer_cache.hpp"
#include "shared/swarm/piece_map.hpp"
#include "tests/support/swarm.hpp"

using namespace lamina;
using namespace lamina::node;
using tests::Scratch;

namespace {

// A device that has a layer, a disk, and another device of the same origin.
struct Bench {
  Bench() {
    for (const StateDirectory& state : {from, to})
      REQUIRE(state.prepare({::geteuid(), ::getegid(), ""}));
    keys = {origin.public_key(), {publisher.public_key()}};
    format::LayerRecord record{.name = "os", .version = "1.0", .revision = 1};
    record.platform = {"linux", "debian", "12", "x86_64"};
    LayerEnvelopes sent;
    sent.record = format::sign_record(format::RecordType::layer, format::encode(record), publisher);
    sent.torrent = swarm.torrent.bytes;
    id = format::layer_id(sent.record);
    format::DistributionRecord distribution{
        .layer = id, .sequence = 1, .torrent = swarm.torrent.id};
    distribution.packs = swarm.packs;
    std::ranges::sort(distribution.packs, {}, &format::DistributedPack::id);
    sent.distribution =
        format::sign_record(format::RecordType::distribution, format::encode(distribution), origin);
    REQUIRE(keep_layer(from, id, sent, keys));
    for (const auto& pack : swarm.packs) {
      const auto bytes = os::read_file(scratch / ("layers/packs/" + pack.id.hex()), 1 << 26);
      REQUIRE(os::write_file(from.packs() + '/' + pack.id.hex(), bytes.value()));
      REQUIRE(swarm::finish_pack(from.cache(), pack.id, pack.size));
    }
    files = load_layer(from, id, keys).value();
  }
  std::string on_disk(std::size_t pack) const {
    return disk + "/cache/packs/" + files.packs[pack].id.hex();
  }
  void damage(const std::string& path) const {
    const os::Descriptor file(::open(path.c_str(), O_WRONLY));
    REQUIRE(os::write_all_at(file.get(), to_buffer("!!"), 1000, path));
  }
  Imported import() const {
    auto done = import_layers(to, keys, disk);
    if (!done) FAIL(done.error().text());
    return *done;
  }

  Scratch scratch;
  StateDirectory from{scratch / "from"}, to{scratch / "to"};
  std::string disk = scratch / "disk";
  PrivateKey origin = *PrivateKey::generate();
  PrivateKey publisher = *PrivateKey::generate();
  net::KeyAndCertificate ca = net::make_ca("swarm").value();
  tests::SwarmLayer swarm = tests::SwarmLayer::make(scratch, ca, 40);
  TrustedKeys keys;
  LayerId id;
  LayerFiles files;
};

}  // namespace

TEST_CASE("layer transfer: a layer goes over a disk into the cache of another device", "[node]") {
  Bench bench;
  const auto exported = export_layer(bench.from, bench.keys, "os:1.0", bench.disk);
  REQUIRE(exported);
  CHECK(exported->name == "os 1.0");
  CHECK(exported->written == bench.files.size());
  // Again, by its id: nothing is left to write.
  CHECK(export_layer(bench.from, bench.keys, bench.id.hex(), bench.disk)->written == Bytes{});

  const auto imported = bench.import();
  REQUIRE(imported.layers.size() == 1);
  CHECK(imported.layers[0].packs == bench.files.packs.size());
  CHECK(imported.refused.empty());
  CHECK(bench.import().layers[0].known == bench.files.packs.size());
  // It is the network process that puts it into the cache.
  CHECK(missing_bytes(bench.to, bench.files) == bench.files.size());
  LayerCache cache(bench.to, bench.keys);
  CHECK(cache.take_in({}));
  CHECK(missing_bytes(bench.to, bench.files) == Bytes{});
  CHECK(load_layer(bench.to, bench.id, bench.keys));
  CHECK_FALSE(cache.take_in({}));
  CHECK(os::list_directory(import_directory(bench.to).packs()).value().empty());
}

TEST_CASE("layer transfer: what is damaged or missing is named, and the rest is taken", "[node]") {
  Bench bench;
  REQUIRE(bench.files.packs.size() >= 3);
  REQUIRE(export_layer(bench.from, bench.keys, "os:1.0", bench.disk));
  bench.damage(bench.on_disk(0));
  REQUIRE(os::remove_file(bench.on_disk(1)));
  const auto imported = bench.import();
  REQUIRE(imported.refused.size() == 1);
  CHECK_THAT(imported.refused[0], Catch::Contains(bench.files.packs[0].id.hex()));
  CHECK(imported.layers[0].missing == 2);
  CHECK(imported.layers[0].packs == bench.files.packs.size() - 2);
  LayerCache cache(bench.to, bench.keys);
  // Of a layer that nobody wants the rest waits...
  CHECK_FALSE(cache.take_in({}));
  // ...the target takes what there is.
  CHECK(cache.take_in({bench.files}));
  CHECK(missing_bytes(bench.to, bench.files) < bench.files.size());
  // The next disk brings what lacked.
  os::remove_tree(bench.disk).value();
  REQUIRE(export_layer(bench.from, bench.keys, "os:1.0", bench.disk));
  CHECK(bench.import().layers[0].packs == 2);
  CHECK(cache.take_in({}));
  CHECK(missing_bytes(bench.to, bench.files) == Bytes{});
}

TEST_CASE("layer transfer: records that nobody trusted signed are refused", "[node]") {
  Bench bench;
  REQUIRE(export_layer(bench.from, bench.keys, "os:1.0", bench.disk));
  const PrivateKey other = *PrivateKey::generate();
  const auto trusted = bench.keys;
  SECTION("another publisher") { bench.keys.publishers = {other.public_key()}; }
  SECTION("another origin") { bench.keys.target = other.public_key(); }
  const auto imported = bench.import();
  CHECK(imported.layers.empty());
  REQUIRE(imported.refused.size() == 1);
  CHECK_THAT(imported.refused[0], Catch::Contains(bench.id.hex()));
  CHECK(os::list_directory(import_directory(bench.to).packs()).value().empty());
  // What somebody put there all the same is not taken in.
  REQUIRE(import_layers(bench.to, trusted, bench.disk));
  LayerCache cache(bench.to, bench.keys);
  CHECK_FALSE(cache.take_in({}));
}

TEST_CASE("layer transfer: a dry run says what would come, and writes nothing", "[node]") {
  Bench bench;
  REQUIRE(export_layer(bench.from, bench.keys, "os:1.0", bench.disk));
  const auto foreseen = [&] {
    auto done = import_layers(bench.to, bench.keys, bench.disk, /*dry_run=*/true);
    if (!done) FAIL(done.error().text());
    REQUIRE(done->layers.size() == 1);
    return *done;
  };
  auto all = foreseen();
  CHECK(all.written == bench.files.size());
  CHECK(all.layers[0].packs == bench.files.packs.size());
  CHECK_FALSE(os::exists(import_directory(bench.to).packs()));
  CHECK(bench.import().written == all.written);
  all = foreseen();
  CHECK(all.written == Bytes{});
  CHECK(all.layers[0].known == bench.files.packs.size());
  REQUIRE(os::remove_tree(import_directory(bench.to).cache()));
  REQUIRE(os::write_file(bench.on_disk(0), to_buffer("short")));
  all = foreseen();
  CHECK(all.refused.size() == 1);
  CHECK(all.layers[0].missing == 1);
}

TEST_CASE("layer transfer: what cannot be exported is said", "[node]") {
  Bench bench;
  const auto kind = [&](const std::string& layer) {
    return export_layer(bench.from, bench.keys, layer, bench.disk).error().kind();
  };
  CHECK(kind("os") == ErrorKind::invalid);
  CHECK(kind("os:2.0") == ErrorKind::not_found);
  CHECK(kind(std::string(64, '0')) == ErrorKind::not_found);
  CHECK(import_layers(bench.to, bench.keys, bench.disk).error().kind() == ErrorKind::not_found);
  bench.damage(bench.from.packs() + '/' + bench.files.packs[0].id.hex());
  CHECK(kind("os:1.0") == ErrorKind::corrupt);
  REQUIRE(os::remove_file(bench.from.trees() + '/' + bench.files.packs[0].id.hex()));
  CHECK(kind("os:1.0") == ErrorKind::unavailable);
}
