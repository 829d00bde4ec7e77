#include "shared/policy/shares.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

using namespace lamina;
using namespace lamina::policy;

namespace {

PackId pack(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::array<std::byte, PackId::kSize> bytes{};
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return PackId(bytes);
}

}  // namespace

TEST_CASE("shares: a piece's share is the same on every machine", "[policy]") {
  std::array<std::byte, PackId::kSize> bytes{};
  CHECK(share_of(PackId(bytes), 0) == 0);
  CHECK(share_of(PackId(bytes), 3) == 0);
  CHECK(share_of(PackId(bytes), 4) == 1);
  CHECK(share_of(PackId(bytes), 47) == 11);
  CHECK(share_of(PackId(bytes), 48) == 0);
  bytes[0] = std::byte{1};  // 0x01000000 is 4 above a multiple of 12.
  CHECK(share_of(PackId(bytes), 0) == 4);
  CHECK(share_of(PackId(bytes), 35) == 0);
  bytes[0] = std::byte{0xff};
  bytes[3] = std::byte{0xff};
  CHECK(share_of(PackId(bytes), 0) == static_cast<int>(0xff0000ffu % 12));
}

TEST_CASE("shares: halves and thirds of a layer are alike, in every pack and in all", "[policy]") {
  for (const int reflectors : {2, 3, 4}) {
    std::vector<int> pieces(static_cast<std::size_t>(reflectors), 0);
    for (std::uint64_t seed = 0; seed < 10; ++seed)
      for (std::uint32_t i = 0; i < 64; ++i)
        ++pieces[static_cast<std::size_t>(share_of(pack(seed), i) * reflectors / ShareSet::kCount)];
    const auto [least, most] = std::ranges::minmax(pieces);
    CHECK(most * 100 <= least * 135);
  }
}

TEST_CASE("shares: pieces within sets that divide all shares are all pieces, once", "[policy]") {
  std::map<PackId, std::vector<bool>> all{{pack(1), std::vector<bool>(64, true)},
                                          {pack(2), std::vector<bool>(3, true)}};
  all[pack(1)][7] = false;
  CHECK(pieces_within(all, ShareSet::all()) == all);
  CHECK(pieces_within(all, ShareSet()).empty());
  std::map<PackId, std::vector<int>> times;
  for (const auto set : {ShareSet::all().lowest(5), ShareSet::all().highest(7)})
    for (const auto& [id, bits] : pieces_within(all, set)) {
      REQUIRE(bits.size() == all[id].size());
      times[id].resize(bits.size());
      for (std::size_t i = 0; i < bits.size(); ++i) times[id][i] += bits[i];
    }
  for (const auto& [id, bits] : all)
    for (std::size_t i = 0; i < bits.size(); ++i) CHECK(times[id][i] == (bits[i] ? 1 : 0));
}

TEST_CASE("share set: its lowest and highest shares", "[policy]") {
  const ShareSet set = ShareSet::from_bits(0xf0b2);  // The high ones are no shares.
  CHECK(set.bits() == 0x0b2);
  CHECK(set.size() == 4);
  CHECK(set.lowest(0).empty());
  CHECK(set.lowest(2).bits() == 0x012);
  CHECK(set.highest(1).bits() == 0x080);
  CHECK(set.highest(9) == set);
  CHECK(set.lowest(9) == set);
  CHECK((set - ShareSet::one(1)).bits() == 0x0b0);
  CHECK_FALSE(set.overlaps(ShareSet::one(0)));
}
