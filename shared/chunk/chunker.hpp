// Content-defined chunking: FastCDC with normalized chunking.
//
// Source: W. Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
// Deduplication", USENIX ATC 2016, and "The Design of Fast Content-Defined Chunking for Data
// Deduplication Based Storage Systems", IEEE TPDS 2020. A rolling "gear" hash over the last 64
// bytes is compared against a mask: a stricter one before the average size is reached, a looser one
// after it, which narrows the distribution of sizes. The first `min` bytes of a chunk are skipped.
//
// Pure; an object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <functional>

#include "shared/base/bytes.hpp"

namespace lamina {

struct ChunkLimits {
  std::uint32_t min = 16 * 1024;
  std::uint32_t average = 64 * 1024;  // A power of two.
  std::uint32_t max = 256 * 1024;
};

// The length of the first chunk of `bytes`. The cut is final when `bytes` has at least `limits.max`
// bytes or is all that is left of the stream; then 0 < result <= bytes.size(), and everything up to
// `limits.min` is one chunk. Precondition: min < average < max, bytes not empty.
std::size_t first_cut(ByteView bytes, const ChunkLimits& limits);

// Cuts a stream that arrives piece by piece. Each chunk is given to `emit` as a view that is valid
// during the call only. Memory: at most `limits.max` plus one piece.
class Chunker {
 public:
  using Emit = std::function<Status(ByteView chunk)>;

  explicit Chunker(ChunkLimits limits = {}) : limits_(limits) {}

  // An error of `emit` is passed on, and the object must then be dropped.
  Status update(ByteView piece, const Emit& emit);
  // Emits what is left; the object then starts over with a new stream.
  Status finish(const Emit& emit);

 private:
  Status cut_all(bool at_end, const Emit& emit);

  ChunkLimits limits_;
  Buffer pending_;
};

}  // namespace lamina
