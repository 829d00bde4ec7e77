#include "shared/hash/merkle.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "shared/base/assert.hpp"
#include "shared/hash/sha256_many.hpp"

namespace lamina {
namespace {

// Its blocks are added to `blocks`; the last one may be shorter.
void cut(ByteView bytes, std::vector<ByteView>& blocks) {
  for (std::size_t at = 0; at < bytes.size(); at += kMerkleBlockSize)
    blocks.push_back(bytes.subspan(at, std::min<std::size_t>(kMerkleBlockSize, bytes.size() - at)));
}

void hash(const std::vector<ByteView>& blocks, std::vector<Sha256Digest>& hashes) {
  hashes.resize(hashes.size() + blocks.size());
  sha256_many(blocks, std::span(hashes).last(blocks.size()));
}

// One level up. `pad` stands for a missing right neighbour and moves up a level too.
void ascend(std::vector<Sha256Digest>& level, Sha256Digest& pad) {
  if (level.size() % 2 != 0) level.push_back(pad);
  level.insert(level.end(), 2, pad);
  // A parent's message is its two children, which are neighbours in memory.
  std::vector<ByteView> pairs;
  pairs.reserve(level.size() / 2);
  for (const auto bytes = std::as_bytes(std::span(level)); pairs.size() < level.size() / 2;)
    pairs.push_back(
        bytes.subspan(pairs.size() * 2 * sizeof(Sha256Digest), 2 * sizeof(Sha256Digest)));
  std::vector<Sha256Digest> parents;
  hash(pairs, parents);
  pad = parents.back();
  parents.pop_back();
  level = std::move(parents);
}

}  // namespace

void MerkleHasher::update(ByteView bytes) {
  const auto keep = [&](std::size_t count) {
    const ByteView kept = bytes.first(count);
    waiting_.insert(waiting_.end(), kept.begin(), kept.end());
    bytes = bytes.subspan(count);
  };
  const std::size_t lanes = sha256_lanes();
  if (waiting_.size() + bytes.size() >= lanes * kMerkleBlockSize) {
    keep((kMerkleBlockSize - waiting_.size() % kMerkleBlockSize) % kMerkleBlockSize);
    std::vector<ByteView> blocks;
    cut(waiting_, blocks);
    const std::size_t ready = (blocks.size() + bytes.size() / kMerkleBlockSize) / lanes * lanes;
    const std::size_t whole = (ready - blocks.size()) * kMerkleBlockSize;
    cut(bytes.first(whole), blocks);
    hash(blocks, hashes_);
    waiting_.clear();
    bytes = bytes.subspan(whole);
  }
  keep(bytes.size());
}

std::vector<Sha256Digest> MerkleHasher::finish() {
  std::vector<ByteView> blocks;
  cut(waiting_, blocks);
  hash(blocks, hashes_);
  waiting_.clear();
  return std::exchange(hashes_, {});
}

std::vector<Sha256Digest> merkle_block_hashes(ByteView bytes) {
  std::vector<ByteView> blocks;
  cut(bytes, blocks);
  std::vector<Sha256Digest> hashes;
  hash(blocks, hashes);
  return hashes;
}

Sha256Digest merkle_root(const std::vector<Sha256Digest>& blocks) {
  LAMINA_ASSERT(!blocks.empty());
  std::vector<Sha256Digest> level = blocks;
  Sha256Digest pad{};
  while (level.size() > 1) ascend(level, pad);
  return level.front();
}

std::vector<Sha256Digest> merkle_piece_layer(const std::vector<Sha256Digest>& blocks,
                                             std::uint32_t piece_size) {
  LAMINA_ASSERT(std::has_single_bit(piece_size) && piece_size >= kMerkleBlockSize);
  const std::uint32_t blocks_per_piece = piece_size / kMerkleBlockSize;
  if (blocks.size() <= blocks_per_piece) return {};
  std::vector<Sha256Digest> level = blocks;
  Sha256Digest pad{};
  for (std::uint32_t width = 1; width < blocks_per_piece; width *= 2) ascend(level, pad);
  return level;
}

}  // namespace lamina
