#include "shared/swarm/piece_map.hpp"

#include "shared/hash/merkle.hpp"
#include "shared/swarm/torrent_file.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::swarm;

namespace {

PackId pack(int n) {
  std::array<std::byte, 32> bytes{};
  bytes[0] = static_cast<std::byte>(n);
  return PackId(bytes);
}

const PieceMap kMap{{pack(1), PieceBits{1, 0, 1, 1, 0, 0, 0, 1, 1}},
                    {pack(2), PieceBits{0}},
                    {pack(7), PieceBits(64, true)}};

struct Cache {
  Cache() {
    for (const char* name : {"packs", "trees", "state"})
      REQUIRE(os::make_directories(scratch / name));
  }
  std::string pack_path(const PackId& id) { return scratch / ("packs/" + id.hex()); }
  void put(const PackId& id, const Buffer& bytes) { REQUIRE(os::write_file(pack_path(id), bytes)); }
  std::string path() const { return scratch.path(); }
  tests::Scratch scratch;
};

PackId id_of(const Buffer& bytes) {
  MerkleHasher hasher;
  hasher.update(bytes);
  return PackId(merkle_root(hasher.finish()));
}

}  // namespace

TEST_CASE("piece map: what is written reads back, and nothing else does", "[swarm]") {
  const Buffer bytes = encode(kMap);
  CHECK(parse_piece_map(bytes).value() == kMap);
  CHECK(parse_piece_map(encode({})).value().empty());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(parse_piece_map(ByteView(bytes).first(size)));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Buffer broken = bytes;
    broken[i] ^= std::byte{4};
    const auto map = parse_piece_map(broken);
    REQUIRE_FALSE(map);
    CHECK(map.error().kind() == ErrorKind::corrupt);
  }
}

TEST_CASE("piece map: saved and loaded; pieces that no file can hold are left out", "[swarm]") {
  Cache cache;
  CHECK(load_piece_map(cache.path()).value().empty());
  // Two whole pieces and some of a third, of four.
  cache.put(pack(1), tests::noise(2 * kPieceSize + 10, 1));
  const PieceMap map{{pack(1), PieceBits{1, 0, 1, 1}}, {pack(2), PieceBits{1}}};
  // A pack that cannot be synced is not listed.
  CHECK_FALSE(save_piece_map(cache.path(), map, {pack(2)}));
  CHECK_FALSE(os::exists(cache.scratch / "state/pieces"));
  REQUIRE(save_piece_map(cache.path(), map, {pack(1)}));
  CHECK(load_piece_map(cache.path()).value() == PieceMap{{pack(1), PieceBits{1, 0, 1, 0}}});
  REQUIRE(os::write_file(cache.scratch / "state/pieces", as_view("nonsense")));
  CHECK(load_piece_map(cache.path()).error().kind() == ErrorKind::corrupt);
}

TEST_CASE("piece map: a pack is whole when all of it was read back", "[swarm]") {
  Cache cache;
  Buffer bytes = tests::noise(3 * kPieceSize + 5, 1);
  const PackId id = id_of(bytes);
  // Full size and yet with a hole: it must not pass.
  Buffer holed = bytes;
  std::fill(holed.begin() + kPieceSize, holed.begin() + 2 * kPieceSize, std::byte{0});
  cache.put(id, holed);
  CHECK(finish_pack(cache.path(), id, bytes.size()).error().kind() == ErrorKind::corrupt);
  CHECK_FALSE(is_whole(cache.path(), id, bytes.size()));

  cache.put(id, bytes);
  CHECK_FALSE(is_whole(cache.path(), id, bytes.size()));
  CHECK_FALSE(finish_pack(cache.path(), id, bytes.size() + 1));
  REQUIRE(finish_pack(cache.path(), id, bytes.size()));
  CHECK(is_whole(cache.path(), id, bytes.size()));
  // Its tree makes a torrent without reading it again.
  const auto blocks = os::read_file(cache.scratch / ("trees/" + id.hex()), 1 << 20);
  REQUIRE(blocks);
  CHECK(blocks->size() == (3 * 16 + 1) * 32);

  bytes.resize(bytes.size() - 1);
  cache.put(id, bytes);
  CHECK_FALSE(is_whole(cache.path(), id, bytes.size() + 1));
  REQUIRE(forget_pack(cache.path(), id));
  REQUIRE(forget_pack(cache.path(), id));
  CHECK_FALSE(is_whole(cache.path(), id, bytes.size()));
  CHECK(finish_pack(cache.path(), pack(9), 1).error().kind() == ErrorKind::not_found);
}
