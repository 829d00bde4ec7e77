#include "origin/cli/verify.hpp"

#include "shared/store/pack_writer.hpp"
#include "tests/shared/tree/trees.hpp"

using namespace lamina;
using namespace lamina::tests;
using namespace lamina::origin::cli;

namespace {

struct Layer {
  Layer() {
    make_nasty_tree(scratch / "tree");
    captured = capture(scratch / "tree");
    record = {.name = "debian",
              .version = "1.0",
              .revision = 1,
              .platform = {"linux", "debian", "12", "x86_64"},
              .manifest = captured.result.manifest};
    envelope = format::sign_record(format::RecordType::layer, format::encode(record), publisher);
    info = {.id = format::layer_id(envelope), .name = "debian", .version = "1.0"};
  }

  // A set of one pack with every chunk but `without`; `forged` has other bytes of the same length.
  PackSet packs(const ChunkId& without = {}, const ChunkId& forged = {}) const {
    const auto files = PackFiles::open(scratch / "packs", PackFiles::Access::write).value();
    PackSet set;
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& pack) {
      return set.add(files.path_of(pack.id), "the pack");
    });
    for (const auto& [id, plain] : captured.chunks) {
      if (id == without) continue;
      Buffer bytes = plain;
      if (id == forged) bytes.back() ^= std::byte{1};
      REQUIRE(
          writer.add({id, static_cast<std::uint32_t>(bytes.size())}, bytes, ContentClass::data));
    }
    REQUIRE(writer.finish());
    set.seal();
    return set;
  }
  ChunkId chunk_of(const std::string& path) const {
    for (const auto& entry : captured.entries())
      if (entry.path == path) return entry.chunks.front().id;
    FAIL("no " + path);
    return {};
  }
  Result<VerifiedContent> verified(PackSet set) const {
    return verify_content(record.manifest, set, [](const VerifiedContent&) {});
  }

  Scratch scratch;
  Captured captured;
  PrivateKey publisher = PrivateKey::generate().value();
  format::LayerRecord record;
  Buffer envelope;
  wire::LayerInfo info;
};

}  // namespace

TEST_CASE("find layer: by name and version or by id", "[cli]") {
  std::array<std::byte, 32> one;
  one.fill(std::byte{1});
  const wire::LayerList list{{{.name = "debian", .version = "1.0"},
                              {.id = LayerId(one), .name = "debian", .version = "1.1"}}};
  CHECK(find_layer(list, "debian:1.1")->id == LayerId(one));
  CHECK(find_layer(list, LayerId(one).hex())->version == "1.1");
  CHECK(find_layer(list, "debian:1.2").error().kind() == ErrorKind::not_found);
  CHECK(find_layer(list, "debian").error().kind() == ErrorKind::invalid);
  CHECK(find_layer(list, "").error().kind() == ErrorKind::invalid);
}

TEST_CASE("open layer: id, signature and name must all be right", "[cli]") {
  const Layer layer;
  const auto opened = open_layer(layer.envelope, layer.info, layer.publisher.public_key());
  REQUIRE(opened);
  CHECK(opened->record == layer.record);
  CHECK(opened->signer == layer.publisher.public_key());
  CHECK(open_layer(layer.envelope, layer.info, std::nullopt)->signer == opened->signer);

  const auto stranger = PrivateKey::generate().value().public_key();
  CHECK(open_layer(layer.envelope, layer.info, stranger).error().kind() == ErrorKind::refused);

  SECTION("the id is of other bytes") {
    Buffer changed = layer.envelope;
    changed[20] ^= std::byte{1};
    CHECK(open_layer(changed, layer.info, std::nullopt).error().kind() == ErrorKind::corrupt);
  }
  SECTION("the signature does not fit, though the id does") {
    Buffer changed = layer.envelope;
    changed[20] ^= std::byte{1};
    wire::LayerInfo info = layer.info;
    info.id = format::layer_id(changed);
    CHECK(open_layer(changed, info, std::nullopt).error().kind() == ErrorKind::refused);
  }
  SECTION("the origin lists it under another name") {
    wire::LayerInfo info = layer.info;
    info.version = "2.0";
    CHECK(open_layer(layer.envelope, info, std::nullopt).error().kind() == ErrorKind::corrupt);
  }
  SECTION("every truncation is refused") {
    for (std::size_t size = 0; size < layer.envelope.size(); ++size) {
      const ByteView part = ByteView(layer.envelope).first(size);
      wire::LayerInfo info = layer.info;
      info.id = format::layer_id(part);
      CHECK_FALSE(open_layer(part, info, std::nullopt));
    }
  }
}

TEST_CASE("verify content: every chunk is read, once", "[cli]") {
  const Layer layer;
  const auto content = layer.verified(layer.packs());
  if (!content) FAIL(content.error().text());
  CHECK(content->chunks == layer.captured.chunks.size());
  std::uint64_t bytes = 0;
  for (const auto& [id, plain] : layer.captured.chunks) bytes += plain.size();
  CHECK(content->bytes == bytes);
}

TEST_CASE("verify content: a missing or forged chunk is found and named", "[cli]") {
  const Layer layer;
  for (const ChunkId& id :
       {layer.chunk_of("a-"), layer.chunk_of("sparse"), layer.record.manifest.fence.front().id}) {
    const auto missing = layer.verified(layer.packs(id));
    REQUIRE_FALSE(missing);
    CHECK(missing.error().kind() == ErrorKind::not_found);
    CHECK(missing.error().text().find(id.short_hex()) != std::string::npos);
    const auto forged = layer.verified(layer.packs({}, id));
    REQUIRE_FALSE(forged);
    CHECK(forged.error().kind() == ErrorKind::corrupt);
    CHECK(forged.error().text().find(id.short_hex()) != std::string::npos);
  }
}
