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
