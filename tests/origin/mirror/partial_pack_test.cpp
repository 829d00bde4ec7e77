#include "origin/mirror/partial_pack.hpp"

#include <catch2/catch.hpp>

#include "shared/net/certificates.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;

namespace {

// Bytes that stand for a pack: what is inside does not matter here.
struct Bench {
  Scratch scratch;
  Buffer bytes = noise(3 * swarm::kPieceSize + 1000, 5);
  PackId id;
  std::shared_ptr<const swarm::PieceHashes> hashes;
  std::string path = scratch / "part";
  PackFiles files = PackFiles::open(scratch / "layers", PackFiles::Access::write).value();

  Bench() {
    MerkleHasher hasher;
    hasher.update(bytes);
    const auto blocks = hasher.finish();
    id = PackId(merkle_root(blocks));
    const auto torrent = swarm::make_torrent({{id, bytes.size(), blocks}},
                                             net::make_ca("swarm").value().certificate_pem)
                             .value();
    hashes =
        std::make_shared<const swarm::PieceHashes>(swarm::PieceHashes::of(torrent.bytes).value());
  }
  PartialPack open() const { return {path, id, bytes.size(), hashes}; }
  ByteView part(std::size_t offset, std::size_t size) const {
    return ByteView(bytes).subspan(offset, size);
  }
};
constexpr std::size_t kPiece = swarm::kPieceSize;

}  // namespace

TEST_CASE("partial pack: grows by whole pieces and is published under its name", "[origin]") {
  Bench bench;
  auto pack = bench.open();
  CHECK(pack.resume().value() == 0);
  REQUIRE(pack.append(bench.part(0, 2 * kPiece)));
  CHECK_FALSE(pack.is_whole());
  REQUIRE(pack.append(bench.part(2 * kPiece, kPiece + 1000)));
  REQUIRE(pack.is_whole());
  REQUIRE(pack.finish(bench.files));
  CHECK(os::read_file(bench.files.path_of(bench.id), 1 << 20).value() == bench.bytes);
  CHECK(bench.files.block_hashes(bench.id));
  CHECK_FALSE(os::exists(bench.path));
}

TEST_CASE("partial pack: a wrong piece is refused, those before it are kept", "[origin]") {
  Bench bench;
  auto pack = bench.open();
  REQUIRE(pack.resume());
  Buffer wrong = to_buffer(bench.part(0, 2 * kPiece));
  wrong[kPiece + 5] ^= std::byte{1};
  const auto done = pack.append(wrong);
  REQUIRE_FALSE(done);
  CHECK(done.error().kind() == ErrorKind::corrupt);
  CHECK(pack.have() == kPiece);
  // And what comes in no whole pieces too.
  CHECK_FALSE(pack.append(bench.part(kPiece, 100)));
  REQUIRE(pack.append(bench.part(kPiece, 2 * kPiece + 1000)));
  CHECK(pack.is_whole());
}

TEST_CASE("partial pack: what a killed process left is verified", "[origin]") {
  Bench bench;
  {
    auto pack = bench.open();
    REQUIRE(pack.resume());
    REQUIRE(pack.append(bench.part(0, 2 * kPiece)));
  }
  Buffer left = os::read_file(bench.path, 1 << 24).value();
  REQUIRE(left.size() == 2 * kPiece);
  SECTION("half a piece at its end is cut off") {
    left.resize(left.size() + 1000);
    REQUIRE(os::write_file(bench.path, left));
    auto pack = bench.open();
    CHECK(pack.resume().value() == 2 * kPiece);
    CHECK(os::read_file(bench.path, 1 << 24)->size() == 2 * kPiece);
  }
  SECTION("so is a piece that was not written") {
    std::fill(left.begin() + kPiece, left.end(), std::byte{0});
    REQUIRE(os::write_file(bench.path, left));
    auto pack = bench.open();
    CHECK(pack.resume().value() == kPiece);
  }
  SECTION("a file that is longer than the pack") {
    left = bench.bytes;
    left.resize(left.size() + kPiece);
    REQUIRE(os::write_file(bench.path, left));
    auto pack = bench.open();
    CHECK(pack.resume().value() == bench.bytes.size());
    REQUIRE(pack.finish(bench.files));
    CHECK(os::read_file(bench.files.path_of(bench.id), 1 << 24).value() == bench.bytes);
  }
}
