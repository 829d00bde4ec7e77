#include "node/net/layer_files.hpp"

#include <fcntl.h>

#include "node/net/site_fetch.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/swarm/piece_map.hpp"
#include "tests/support/swarm.hpp"

using namespace lamina;
using namespace lamina::node;
using tests::Scratch;

namespace {

// A layer of some packs as an origin would send it.
struct Bench {
  Bench() {
    REQUIRE(state.prepare({::geteuid(), ::getegid(), ""}));
    keys = {origin.public_key(), {publisher.public_key()}};
    format::LayerRecord record{.name = "os", .version = "1.0", .revision = 1};
    record.platform = {"linux", "debian", "12", "x86_64"};
    sent.record = format::sign_record(format::RecordType::layer, format::encode(record), publisher);
    id = format::layer_id(sent.record);
    sent.torrent = swarm.torrent.bytes;
    distribute(id, swarm.torrent.id, origin);
  }
  void distribute(const LayerId& layer, const TorrentId& torrent, const PrivateKey& key,
                  std::uint64_t sequence = 1) {
    format::DistributionRecord record{.layer = layer, .sequence = sequence, .torrent = torrent};
    record.packs = swarm.packs;
    std::ranges::sort(record.packs, {}, &format::DistributedPack::id);
    sent.distribution =
        format::sign_record(format::RecordType::distribution, format::encode(record), key);
  }
  ErrorKind refusal() const {
    const auto checked = check_layer(id, sent, keys);
    REQUIRE_FALSE(checked);
    return checked.error().kind();
  }
  // The pack whole in the cache, as the swarm leaves it.
  void fetch(const format::DistributedPack& pack) {
    const auto bytes = os::read_file(scratch / ("layers/packs/" + pack.id.hex()), 1 << 26);
    REQUIRE(bytes);
    REQUIRE(os::write_file(state.packs() + '/' + pack.id.hex(), *bytes));
    REQUIRE(swarm::finish_pack(state.cache(), pack.id, pack.size));
  }

  Scratch scratch;
  StateDirectory state{scratch / "state"};
  PrivateKey origin = *PrivateKey::generate();
  PrivateKey publisher = *PrivateKey::generate();
  net::KeyAndCertificate ca = net::make_ca("swarm").value();
  tests::SwarmLayer swarm = tests::SwarmLayer::make(scratch, ca, 30);
  TrustedKeys keys;
  LayerEnvelopes sent;
  LayerId id;
};

}  // namespace

TEST_CASE("layer files: what was checked is kept and read again", "[node]") {
  Bench bench;
  const auto files = check_layer(bench.id, bench.sent, bench.keys);
  REQUIRE(files);
  CHECK(files->name == "os 1.0");
  CHECK(files->size().count == static_cast<std::int64_t>(bench.swarm.size));
  CHECK(load_layer(bench.state, bench.id, bench.keys).error().kind() == ErrorKind::not_found);
  REQUIRE(keep_layer(bench.state, bench.id, bench.sent, bench.keys));
  const auto loaded = load_layer(bench.state, bench.id, bench.keys);
  REQUIRE(loaded);
  CHECK(loaded->torrent == files->torrent);
  CHECK(loaded->packs == files->packs);
  REQUIRE(forget_layer(bench.state, bench.id));
  CHECK_FALSE(load_layer(bench.state, bench.id, bench.keys));
}

TEST_CASE("layer files: what somebody else signed, or says of another layer, is refused",
          "[node]") {
  Bench bench;
  SECTION("a record of an unknown publisher") {
    bench.keys.publishers = {bench.origin.public_key()};
    CHECK(bench.refusal() == ErrorKind::refused);
  }
  SECTION("another layer's record") {
    bench.id = LayerId{};
    CHECK(bench.refusal() == ErrorKind::corrupt);
  }
  SECTION("a distribution that the origin did not sign") {
    bench.distribute(bench.id, bench.swarm.torrent.id, bench.publisher);
    CHECK(bench.refusal() == ErrorKind::refused);
  }
  SECTION("a distribution of another layer") {
    bench.distribute(LayerId{}, bench.swarm.torrent.id, bench.origin);
    CHECK(bench.refusal() == ErrorKind::corrupt);
  }
  SECTION("another torrent") {
    bench.distribute(bench.id, TorrentId{}, bench.origin);
    CHECK(bench.refusal() == ErrorKind::invalid);
  }
  SECTION("bytes that are no torrent") {
    bench.sent.torrent = to_buffer("d4:infoe");
    CHECK(bench.refusal() == ErrorKind::invalid);
  }
}

TEST_CASE("layer files: an older distribution does not take a newer one's place", "[node]") {
  Bench bench;
  bench.distribute(bench.id, bench.swarm.torrent.id, bench.origin, 5);
  REQUIRE(keep_layer(bench.state, bench.id, bench.sent, bench.keys));
  REQUIRE(keep_layer(bench.state, bench.id, bench.sent, bench.keys));  // The same is no older one.
  const Buffer newest = bench.sent.distribution;
  bench.distribute(bench.id, bench.swarm.torrent.id, bench.origin, 4);
  const auto kept = keep_layer(bench.state, bench.id, bench.sent, bench.keys);
  REQUIRE_FALSE(kept);
  CHECK(kept.error().kind() == ErrorKind::refused);
  CHECK(read_envelope(bench.state, bench.id, "distribution", bench.keys).value() == newest);
}

TEST_CASE("layer files: what is kept is handed on by its path, and nothing else is", "[node]") {
  Bench bench;
  REQUIRE(keep_layer(bench.state, bench.id, bench.sent, bench.keys));
  REQUIRE(os::write_file(bench.state.records() + "/target", to_buffer("target")));
  const auto page = [&](const std::string& path) {
    auto handed = site_page(bench.state, bench.keys, to_buffer("list"), path);
    return handed ? Result<Buffer>(handed->bytes) : Result<Buffer>(fail(handed.error()));
  };
  CHECK(page(std::string(kMembersPage)).value() == to_buffer("list"));
  CHECK(page(layer_page(bench.id, "record")).value() == bench.sent.record);
  CHECK(page(layer_page(bench.id, "distribution")).value() == bench.sent.distribution);
  CHECK(page(layer_page(bench.id, "torrent")).value() == bench.sent.torrent);
  for (const std::string& path :
       {layer_page(bench.id, ""), layer_page(bench.id, "../target"), layer_page({}, "record"),
        "/v1/site/layers/" + bench.id.hex(), std::string("/v1/site/layers/../records/target"),
        std::string("/v1/site/"), std::string("/")}) {
    INFO(path);
    CHECK_FALSE(page(path));
  }
  CHECK_FALSE(site_page(bench.state, bench.keys, {}, std::string(kMembersPage)));
}

TEST_CASE("layer files: packs that were made at great cost are handed on, and others are not",
          "[node]") {
  Bench bench;
  REQUIRE(keep_layer(bench.state, bench.id, bench.sent, bench.keys));
  const auto page = [&](const std::string& path) {
    return site_page(bench.state, bench.keys, {}, path);
  };
  CHECK(page(costly_page(bench.id)).error().kind() == ErrorKind::not_found);  // Not yet.
  const auto packs = bench.swarm.packs;
  REQUIRE(packs.size() >= 2);
  Rebuilt rebuilt{.base = format::kNoLayer, .packs = {packs[0], packs[1]}, .lacking = {}};
  rebuilt.costly = {packs[0].id};
  rebuilt.awaited = {ChunkId{}};
  REQUIRE(write_rebuilt(bench.state, bench.id, rebuilt));
  CHECK(page(costly_page(bench.id)).error().kind() == ErrorKind::not_found);
  rebuilt.awaited.clear();
  REQUIRE(write_rebuilt(bench.state, bench.id, rebuilt));
  const auto list = page(costly_page(bench.id));
  REQUIRE(list);
  CHECK(ByteView(list->bytes).size() == PackId::kSize);
  const auto one = page(costly_page(bench.id, packs[0].id));
  REQUIRE(one);
  CHECK(one->file == bench.state.packs() + '/' + packs[0].id.hex());
  CHECK_FALSE(page(costly_page(bench.id, packs[1].id)));
  CHECK_FALSE(page(costly_page(bench.id) + "/../../target"));
  rebuilt.costly.clear();
  REQUIRE(write_rebuilt(bench.state, bench.id, rebuilt));
  CHECK(page(costly_page(bench.id)).error().kind() == ErrorKind::refused);
}

TEST_CASE("layer files: damaged packs count as missing", "[node]") {
  Bench bench;
  const auto files = check_layer(bench.id, bench.sent, bench.keys).value();
  CHECK(missing_bytes(bench.state, files) == files.size());
  for (const auto& pack : files.packs) bench.fetch(pack);
  CHECK(missing_bytes(bench.state, files).count == 0);
  CHECK(forget_damaged_packs(bench.state, files).value() == 0);

  const auto& rotten = files.packs.front();
  const os::Descriptor file(
      ::open((bench.state.packs() + '/' + rotten.id.hex()).c_str(), O_WRONLY));
  REQUIRE(os::write_all_at(file.get(), to_buffer("!!"), rotten.size / 2, "pack"));
  CHECK(forget_damaged_packs(bench.state, files).value() == 1);
  CHECK(missing_bytes(bench.state, files).count == static_cast<std::int64_t>(rotten.size));
}

TEST_CASE("layer files: what no layer needs is removed", "[node]") {
  Bench bench;
  REQUIRE(keep_layer(bench.state, bench.id, bench.sent, bench.keys));
  REQUIRE(os::write_file(bench.state.records() + "/target", to_buffer("target")));
  const auto files = load_layer(bench.state, bench.id, bench.keys).value();
  for (const auto& pack : files.packs) bench.fetch(pack);
  const std::string unfinished = bench.state.packs() + '/' + std::string(64, '0');
  REQUIRE(os::write_file(unfinished, to_buffer("half a pack")));

  CHECK(remove_others(bench.state, {files}, false).value().count == 0);
  CHECK(os::exists(unfinished));
  CHECK(remove_others(bench.state, {files}, true).value().count > 0);
  CHECK_FALSE(os::exists(unfinished));
  CHECK(load_layer(bench.state, bench.id, bench.keys));
  CHECK(missing_bytes(bench.state, files).count == 0);

  CHECK(remove_others(bench.state, {}, false).value() >= files.size());
  CHECK(os::list_directory(bench.state.packs()).value().empty());
  CHECK(os::list_directory(bench.state.trees()).value().empty());
  CHECK(os::list_directory(bench.state.records()).value() == std::vector<std::string>{"target"});
}
