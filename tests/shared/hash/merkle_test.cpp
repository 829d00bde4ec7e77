#include "shared/hash/merkle.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

namespace {

Sha256Digest both(const Sha256Digest& a, const Sha256Digest& b) {
  Buffer bytes(a.begin(), a.end());
  bytes.insert(bytes.end(), b.begin(), b.end());
  return sha256(bytes);
}

std::vector<Sha256Digest> numbered(std::size_t count) {
  std::vector<Sha256Digest> blocks(count);
  for (std::size_t i = 0; i < count; ++i) blocks[i][0] = static_cast<std::byte>(i + 1);
  return blocks;
}

}  // namespace

TEST_CASE("merkle: a file of one block has that block's hash as root", "[hash]") {
  MerkleHasher hasher;
  hasher.update(as_view("hello"));
  const auto blocks = hasher.finish();
  REQUIRE(blocks.size() == 1);
  CHECK(merkle_root(blocks) == sha256(as_view("hello")));
}

TEST_CASE("merkle: leaves are padded with zero hashes to a power of two", "[hash]") {
  const auto b = numbered(3);
  CHECK(merkle_root(b) == both(both(b[0], b[1]), both(b[2], Sha256Digest{})));
  const auto c = numbered(5);
  const Sha256Digest zero{};
  CHECK(merkle_root(c) ==
        both(both(both(c[0], c[1]), both(c[2], c[3])), both(both(c[4], zero), both(zero, zero))));
}

TEST_CASE("merkle: blocks are the same however the bytes arrive", "[hash]") {
  Buffer bytes(3 * kMerkleBlockSize + 77);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31);
  MerkleHasher whole;
  whole.update(bytes);
  const auto expected = whole.finish();
  REQUIRE(expected.size() == 4);
  CHECK(expected[3] == sha256(ByteView(bytes).last(77)));
  for (const std::size_t step : {1000U, 16384U, 16385U, 50000U}) {
    MerkleHasher pieces;
    for (std::size_t at = 0; at < bytes.size(); at += step)
      pieces.update(ByteView(bytes).subspan(at, std::min(step, bytes.size() - at)));
    CHECK(pieces.finish() == expected);
  }
}

TEST_CASE("merkle: many blocks are the same however the bytes arrive", "[hash]") {
  Buffer bytes(53 * kMerkleBlockSize + 5000);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 99);
  std::vector<Sha256Digest> expected;
  for (std::size_t at = 0; at < bytes.size(); at += kMerkleBlockSize)
    expected.push_back(sha256(
        ByteView(bytes).subspan(at, std::min<std::size_t>(kMerkleBlockSize, bytes.size() - at))));
  CHECK(merkle_block_hashes(bytes) == expected);
  CHECK(merkle_block_hashes({}).empty());
  MerkleHasher hasher;
  for (const std::size_t step :
       {5000U, 16384U, 100000U, 262143U, 262144U, 262145U, 600000U, 9999999U}) {
    for (std::size_t at = 0; at < bytes.size(); at += step)
      hasher.update(ByteView(bytes).subspan(at, std::min(step, bytes.size() - at)));
    CHECK(hasher.finish() == expected);
  }
}

TEST_CASE("merkle: the piece layer leads to the root", "[hash]") {
  const auto blocks = numbered(70);
  for (const std::uint32_t piece :
       {kMerkleBlockSize, 4 * kMerkleBlockSize, 16 * kMerkleBlockSize}) {
    auto layer = merkle_piece_layer(blocks, piece);
    const std::size_t width = piece / kMerkleBlockSize;
    REQUIRE(layer.size() == (70 + width - 1) / width);
    // Padding on the piece layer is the root of an all-zero subtree of that height.
    Sha256Digest pad{};
    for (std::size_t w = 1; w < width; w *= 2) pad = both(pad, pad);
    while (layer.size() < 128 / width) layer.push_back(pad);
    CHECK(merkle_root(layer) == merkle_root(blocks));
  }
  CHECK(merkle_piece_layer(numbered(16), 16 * kMerkleBlockSize).empty());
}
