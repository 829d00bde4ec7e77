#include "shared/hash/merkle.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "shared/base/assert.hpp"

namespace lamina {
namespace {

Sha256Digest parent(const Sha256Digest& left, const Sha256Digest& right) {
  std::array<std::byte, 64> both;
  std::copy(left.begin(), left.end(), both.begin());
  std::copy(right.begin(), right.end(), both.begin() + 32);
  return sha256(both);
}

// One level up. `pad` stands for a missing right neighbour and moves up a level too.
void ascend(std::vector<Sha256Digest>& level, Sha256Digest& pad) {
  const std::size_t count = (level.size() + 1) / 2;
  for (std::size_t i = 0; i < count; ++i)
    level[i] = parent(level[2 * i], 2 * i + 1 < level.size() ? level[2 * i + 1] : pad);
  level.resize(count);
  pad = parent(pad, pad);
}

}  // namespace

void MerkleHasher::update(ByteView bytes) {
  while (!bytes.empty()) {
    const std::size_t take = std::min<std::size_t>(bytes.size(), kMerkleBlockSize - filled_);
    block_.update(bytes.first(take));
    bytes = bytes.subspan(take);
    filled_ += static_cast<std::uint32_t>(take);
    if (filled_ == kMerkleBlockSize) {
      hashes_.push_back(block_.finish());
      filled_ = 0;
    }
  }
}

std::vector<Sha256Digest> MerkleHasher::finish() {
  if (filled_ > 0) hashes_.push_back(block_.finish());
  filled_ = 0;
  return std::exchange(hashes_, {});
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
