#include "shared/format/signed_layer.hpp"

#include <catch2/catch.hpp>

#include "shared/hash/sha256.hpp"

using namespace lamina;
using namespace lamina::format;

namespace {

struct Bench {
  PrivateKey publisher = PrivateKey::generate().value();
  PrivateKey origin = PrivateKey::generate().value();
  LayerRecord record{.name = "debian",
                     .version = "12.11",
                     .revision = 1,
                     .kind = LayerKind::base,
                     .platform = {"linux", "debian", "12", "x86_64"}};
  LayerEnvelopes sent;
  LayerId id;

  Bench() {
    sent.record = sign_record(RecordType::layer, encode(record), publisher);
    id = layer_id(sent.record);
    distribute(id, origin);
  }

  void distribute(const LayerId& layer, const PrivateKey& key) {
    DistributionRecord distribution{.layer = layer, .sequence = 3};
    distribution.torrent = digest<TorrentId>(as_view("torrent"));
    distribution.packs = {{digest<PackId>(as_view("pack")), 100, true}};
    sent.distribution = sign_record(RecordType::distribution, encode(distribution), key);
  }

  Result<SignedLayer> open() const {
    const PublicKey publishers[] = {publisher.public_key()};
    return open_layer(id, sent, publishers, origin.public_key());
  }
};

}  // namespace

TEST_CASE("signed layer: both statements open with the keys that made them", "[format]") {
  const Bench bench;
  const auto opened = bench.open();
  REQUIRE(opened);
  CHECK(opened->record == bench.record);
  CHECK(opened->distribution.layer == bench.id);
  CHECK(opened->distribution.sequence == 3);
}

TEST_CASE("signed layer: another layer's record or distribution is corrupt", "[format]") {
  Bench bench;
  SECTION("record") { bench.id = digest<LayerId>(as_view("another")); }
  SECTION("distribution") { bench.distribute(digest<LayerId>(as_view("another")), bench.origin); }
  const auto opened = bench.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().kind() == ErrorKind::corrupt);
  CHECK(opened.error().text().starts_with("layer " + bench.id.short_hex()));
}

TEST_CASE("signed layer: a stranger's signature is refused", "[format]") {
  Bench bench;
  SECTION("publisher") { bench.publisher = PrivateKey::generate().value(); }
  SECTION("origin") { bench.distribute(bench.id, PrivateKey::generate().value()); }
  const auto opened = bench.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().kind() == ErrorKind::refused);
}
