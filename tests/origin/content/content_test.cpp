#include "origin/content/content.hpp"

#include "shared/net/certificates.hpp"
#include "shared/swarm/torrent_file.hpp"
#include "tests/shared/tree/trees.hpp"
#include "tests/support/send.hpp"
#include "tests/support/signed_layer.hpp"

using namespace lamina;
using namespace lamina::tests;
using origin::Content;

namespace {

struct Origin {
  Origin() {
    make_nasty_tree(scratch / "tree");
    captured = capture(scratch / "tree");
  }

  void send(ChunkStore& store, const std::map<ChunkId, Buffer>& chunks) const {
    tests::send(store, chunks, scratch / "client");
  }

  Buffer layer_record(const PrivateKey& signer) const {
    return signed_layer(tests::layer_record("debian", "1.0", captured.result.manifest), signer);
  }
  Buffer snapshot_record(const DeviceId& device) const {
    return format::encode(format::SnapshotRecord{
        .device = device, .sequence = 1, .reason = "test", .manifest = captured.result.manifest});
  }

  Scratch scratch;
  Captured captured;
  PrivateKey publisher = PrivateKey::generate().value();
  PrivateKey target = PrivateKey::generate().value();
  std::unique_ptr<Content> content =
      Content::open(scratch / "data",
                    {{publisher.public_key()}, target, net::make_ca("swarm")->certificate_pem})
          .value();
};

DeviceId device(unsigned char value) {
  std::array<std::byte, 16> bytes;
  bytes.fill(std::byte{value});
  return DeviceId(bytes);
}

}  // namespace

TEST_CASE("publish: a complete layer gets a distribution, and a torrent of its packs", "[origin]") {
  Origin origin;
  origin.send(origin.content->layers(), origin.captured.chunks);
  const auto publication = origin.content->examine(origin.layer_record(origin.publisher), {7});
  if (!publication) FAIL(publication.error().text());
  CHECK(publication->info.name == "debian");
  CHECK(publication->chunks.size() == origin.captured.chunks.size());
  REQUIRE(origin.content->keep(*publication));
  const LayerId id = publication->info.id;
  CHECK(format::layer_id(origin.content->layer_record(id).value()) == id);
  const auto opened = format::open_record(format::RecordType::distribution,
                                          origin.content->distribution(id).value(),
                                          std::vector<PublicKey>{origin.target.public_key()});
  REQUIRE(opened);
  const auto distribution = format::parse_distribution(opened->record);
  REQUIRE(distribution);
  const auto torrent = swarm::read_torrent(origin.content->torrent(id).value());
  REQUIRE(torrent);
  CHECK(torrent->id == distribution->torrent);
  CHECK(torrent->packs.size() == distribution->packs.size());
  CHECK(os::exists(origin.scratch / ("data/torrents/" + torrent->id.hex() + ".torrent")));
}

TEST_CASE("publish: a missing chunk is named and nothing is published", "[origin]") {
  Origin origin;
  auto chunks = origin.captured.chunks;
  const ChunkId lost = origin.captured.result.manifest.fence.front().id;
  SECTION("of the manifest") { chunks.erase(lost); }
  SECTION("of a file") {
    for (const auto& entry : origin.captured.entries())
      if (entry.path == "a-") chunks.erase(entry.chunks.front().id);
  }
  origin.send(origin.content->layers(), chunks);
  const auto publication = origin.content->examine(origin.layer_record(origin.publisher), {7});
  REQUIRE_FALSE(publication);
  CHECK(publication.error().kind() == ErrorKind::not_found);
  CHECK(publication.error().text().find("layer debian 1.0") != std::string::npos);
}

TEST_CASE("publish: only a known publisher's signature counts", "[origin]") {
  Origin origin;
  origin.send(origin.content->layers(), origin.captured.chunks);
  const auto publication = origin.content->examine(origin.layer_record(origin.target), {7});
  REQUIRE_FALSE(publication);
  CHECK(publication.error().kind() == ErrorKind::refused);
}

TEST_CASE("publish: content of devices is no content of layers", "[origin]") {
  Origin origin;
  origin.send(origin.content->cvds(), origin.captured.chunks);
  CHECK_FALSE(origin.content->examine(origin.layer_record(origin.publisher), {7}));
}

TEST_CASE("snapshot: what it needs is found out, as far as the manifest is there", "[origin]") {
  Origin origin;
  const Buffer record = origin.snapshot_record(device(1));
  auto content = origin.content->examine_snapshot(record, device(1));
  REQUIRE(content);
  CHECK_FALSE(content->manifest_complete);
  CHECK(content->chunks.size() == origin.captured.result.manifest.fence.size());
  origin.send(origin.content->cvds(), origin.captured.chunks);
  content = origin.content->examine_snapshot(record, device(1));
  REQUIRE(content);
  CHECK(content->manifest_complete);
  CHECK(content->chunks.size() == origin.captured.chunks.size());
  const auto stolen = origin.content->examine_snapshot(record, device(2));
  REQUIRE_FALSE(stolen);
  CHECK(stolen.error().kind() == ErrorKind::refused);
}

TEST_CASE("gather: chunks of both spaces come back in one pack", "[origin]") {
  Origin origin;
  std::map<ChunkId, Buffer> first;
  std::map<ChunkId, Buffer> second;
  std::vector<format::ChunkRef> refs;
  for (const auto& [id, plain] : origin.captured.chunks) {
    (refs.size() % 2 == 0 ? first : second)[id] = plain;
    refs.push_back(ref_of(plain));
  }
  origin.send(origin.content->layers(), first);
  origin.send(origin.content->cvds(), second);
  const auto path = origin.content->gather(refs);
  if (!path) FAIL(path.error().text());
  PackSet set;
  REQUIRE(set.add(*path, "gathered"));
  set.seal();
  for (const auto& ref : refs) CHECK(set.read(ref).value() == origin.captured.chunks.at(ref.id));
  CHECK_FALSE(origin.content->gather({}));
  CHECK(origin.content->gather({ref_of(noise(4, 4))}).error().kind() == ErrorKind::not_found);
}

TEST_CASE("gather: a frame goes as it is stored, unless a chunk of it was not asked for",
          "[origin]") {
  Origin origin;
  std::map<ChunkId, Buffer> chunks;
  std::vector<format::ChunkRef> refs;
  for (std::uint64_t i = 0; i < 6; ++i) {
    const Buffer chunk = text(50'000, i);
    refs.push_back(ref_of(chunk));
    chunks[refs.back().id] = chunk;
  }
  origin.send(origin.content->cvds(), chunks);
  const auto stored = origin.content->cvds().frame_of(refs[0].id).value();
  REQUIRE(origin.content->cvds().frame(stored)->chunks.size() == refs.size());

  const auto frames_of = [&](const std::vector<format::ChunkRef>& wanted) {
    const auto path = origin.content->gather(wanted);
    if (!path) FAIL(path.error().text());
    PackSet set;
    REQUIRE(set.add(*path, "gathered"));
    set.seal();
    for (const format::ChunkRef& ref : wanted) CHECK(set.read(ref).value() == chunks.at(ref.id));
    CHECK(set.chunk_count() == wanted.size());
    auto index = OpenPack::open(*path, "gathered")->index();
    REQUIRE(os::remove_file(*path));
    return index.frames;
  };
  const auto all = frames_of(refs);
  REQUIRE(all.size() == 1);
  CHECK(all[0].coded_size == origin.content->cvds().frame(stored)->coded_size);
  // One less: nothing of that one is sent along.
  refs.pop_back();
  frames_of(refs);
}
