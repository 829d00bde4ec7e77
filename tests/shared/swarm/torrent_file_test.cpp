#include "shared/swarm/torrent_file.hpp"

#include <catch2/catch.hpp>

#include "shared/net/certificates.hpp"
#include "tests/support/content.hpp"

using namespace lamina;
using namespace lamina::swarm;

namespace {

TorrentPack pack_of(const Buffer& bytes) {
  MerkleHasher hasher;
  hasher.update(bytes);
  auto blocks = hasher.finish();
  const PackId id{merkle_root(blocks)};
  return {id, bytes.size(), std::move(blocks)};
}

const std::string& ca() {
  static const std::string pem = net::make_ca("swarm")->certificate_pem;
  return pem;
}

}  // namespace

TEST_CASE("torrent: what is made reads back, and the same packs give the same bytes", "[swarm]") {
  const std::vector<TorrentPack> packs{pack_of(tests::noise(700'000, 1)),
                                       pack_of(tests::noise(5, 2)),
                                       pack_of(tests::noise(262'144, 3))};
  const auto made = make_torrent(packs, ca());
  if (!made) FAIL(made.error().text());
  const auto content = read_torrent(made->bytes);
  if (!content) FAIL(content.error().text());
  CHECK(content->id == made->id);
  CHECK(content->packs.size() == 3);
  CHECK(make_torrent({packs[2], packs[0], packs[1]}, ca())->bytes == made->bytes);
}

TEST_CASE("torrent: of a single pack too", "[swarm]") {
  const auto made = make_torrent({pack_of(tests::noise(700'000, 1))}, ca());
  REQUIRE(made);
  const auto content = read_torrent(made->bytes);
  if (!content) FAIL(content.error().text());
  CHECK(content->packs.size() == 1);
}

TEST_CASE("torrent: its hashes tell the right bytes of a piece from others", "[swarm]") {
  const std::vector<Buffer> files{tests::noise(700'000, 1), tests::noise(5, 2),
                                  tests::noise(262'144, 3), tests::noise(262'145, 4)};
  std::vector<TorrentPack> packs;
  for (const Buffer& file : files) packs.push_back(pack_of(file));
  const auto hashes = PieceHashes::of(make_torrent(packs, ca())->bytes);
  REQUIRE(hashes);
  for (std::size_t i = 0; i < files.size(); ++i)
    for (std::uint32_t piece = 0; std::size_t{piece} * kPieceSize < files[i].size(); ++piece) {
      INFO("file " << i << ", piece " << piece);
      const auto all = ByteView(files[i]).subspan(std::size_t{piece} * kPieceSize);
      Buffer bytes(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(
                                                  std::min<std::size_t>(all.size(), kPieceSize)));
      CHECK(hashes->fit(packs[i].id, piece, bytes));
      CHECK_FALSE(hashes->fit(packs[i].id, piece + 1, bytes));
      CHECK_FALSE(hashes->fit(packs[(i + 1) % 4].id, piece, bytes));
      CHECK_FALSE(hashes->fit(packs[i].id, piece, ByteView(bytes).first(bytes.size() - 1)));
      CHECK_FALSE(hashes->fit(packs[i].id, piece, {}));
      bytes.back() ^= std::byte{1};
      CHECK_FALSE(hashes->fit(packs[i].id, piece, bytes));
      bytes.back() ^= std::byte{1};
      bytes.push_back(std::byte{0});
      CHECK_FALSE(hashes->fit(packs[i].id, piece, bytes));
    }
  CHECK_FALSE(hashes->fit(PackId{}, 0, files[1]));
  CHECK_FALSE(PieceHashes::of(to_buffer("nonsense")));
}

TEST_CASE("torrent: block hashes that do not lead to the pack are refused", "[swarm]") {
  auto pack = pack_of(tests::noise(100'000, 1));
  pack.block_hashes[0][0] ^= std::byte{1};
  CHECK_FALSE(make_torrent({pack}, ca()));
  pack = pack_of(tests::noise(100'000, 1));
  pack.size += 16'384;
  CHECK_FALSE(make_torrent({pack}, ca()));
  CHECK_FALSE(make_torrent({}, ca()));
}

TEST_CASE("torrent: foreign and broken ones are refused", "[swarm]") {
  const auto made =
      make_torrent({pack_of(tests::noise(700'000, 1)), pack_of(tests::noise(9, 2))}, ca());
  REQUIRE(made);
  for (std::size_t size = 0; size < made->bytes.size(); size += 13)
    CHECK_FALSE(read_torrent(ByteView(made->bytes).first(size)));
  CHECK_FALSE(read_torrent(as_view("d4:infod4:name5:packsee")));
  const auto open = make_torrent({pack_of(tests::noise(9, 2))}, "");
  if (open) CHECK_FALSE(read_torrent(open->bytes));
}
