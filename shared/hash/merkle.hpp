// BEP 52 Merkle trees: the hashes that a v2 torrent verifies a file with.
//
// A file is cut into blocks of 16 KiB; each leaf is the SHA-256 of a block (the last block is
// hashed at its real length), and the leaves are padded with all-zero hashes to a power of two. The
// root
// ("pieces root") does not depend on the torrent's piece size, which makes it a good name for a
// pack. Source: BEP 52, "pieces root" and "piece layers". Pure; an object belongs to one thread at
// a time.
#pragma once

#include <cstdint>
#include <vector>

#include "shared/hash/sha256.hpp"

namespace lamina {

constexpr std::uint32_t kMerkleBlockSize = 16 * 1024;

// Hashes a file's bytes as they pass, many blocks at once (sha256_many.hpp). Keeps at most 256 KiB
// of them until there are enough; whole blocks of a long `bytes` are hashed where they lie.
class MerkleHasher {
 public:
  void update(ByteView bytes);

  // The block hashes of everything seen, in order; the object then starts over. Empty for no bytes.
  std::vector<Sha256Digest> finish();

 private:
  Buffer waiting_;  // Fewer blocks than there are lanes, the last one in parts.
  std::vector<Sha256Digest> hashes_;
};

// The block hashes of bytes in memory, in order: what a MerkleHasher makes of them. The last block
// may be shorter. Empty for no bytes.
std::vector<Sha256Digest> merkle_block_hashes(ByteView bytes);

// Root of the tree over `blocks`. Precondition: at least one block.
Sha256Digest merkle_root(const std::vector<Sha256Digest>& blocks);

// The layer of the tree at which each hash covers `piece_size` bytes (a power of two, at least 16
// KiB), cut to the pieces that the file has. Empty when the file has at most one piece, as BEP 52
// asks: the root says all then.
std::vector<Sha256Digest> merkle_piece_layer(const std::vector<Sha256Digest>& blocks,
                                             std::uint32_t piece_size);

}  // namespace lamina
