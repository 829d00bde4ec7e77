// Pack: an immutable file of frames, the unit that the swarm moves; and frame: a solid group of
// whole chunks that are coded together.
//
//   pack    = header, coded frames, index, footer
//   index   = for every frame its coder, place, sizes, and the id and length of each of its chunks
//
// A pack is self-describing: where a chunk lies is read from the pack itself, so no directory has
// to travel, an update sends nothing about old packs, and a lost index is rebuilt from the files.
// The name of a pack is the BEP 52 pieces root of its bytes. See FORMAT.md, "Pack".
//
// Pure: bytes go to a sink and come from views. One thread at a time per object.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "shared/codec/zstd.hpp"
#include "shared/format/manifest.hpp"
#include "shared/hash/merkle.hpp"

namespace lamina::format {

// 2 is reserved for LZMA2. A patch (patch.hpp) needs chunks that its receiver has: packs of them
// are on their way to one and never stored. A delta frame has no chunks of its own: it is a part of
// an update (shared/update), and means nothing alone.
enum class Coder : std::uint8_t { raw = 0, zstd = 1, patch = 3, delta = 4 };

constexpr std::uint32_t kFramePlainMax = 4 * 1024 * 1024;
constexpr std::uint64_t kPackSizeMax = std::uint64_t{64} << 20;
constexpr std::size_t kPackHeaderSize = 16;
constexpr std::size_t kPackFooterSize = 32;
constexpr std::size_t kPackIndexMax = std::size_t{16} << 20;

// One frame as the index describes it. Its chunks lie one behind the other in its plain bytes.
struct Frame {
  Coder coder = Coder::raw;
  std::uint64_t offset = 0;  // Of the coded bytes in the pack.
  std::uint32_t coded_size = 0;
  std::uint32_t plain_size = 0;  // Sum of the chunks' lengths; 0 only of a delta frame.
  std::vector<ChunkRef> chunks;
  bool operator==(const Frame&) const = default;
};

struct PackIndex {
  std::vector<Frame> frames;
  bool operator==(const PackIndex&) const = default;
};

// Where the index lies, from the last kPackFooterSize bytes of a pack of `pack_size` bytes.
// `corrupt` when they are no footer or the numbers do not fit.
struct IndexPlace {
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
  std::uint64_t checksum =
      0;  // XXH3 of the index: finds accidents early; the root proves the rest.
};
Result<IndexPlace> parse_pack_footer(ByteView footer, std::uint64_t pack_size);

// Checks the first kPackHeaderSize bytes. `invalid` names features that this program lacks.
Status check_pack_header(ByteView header);

// `corrupt` or `invalid` unless every frame lies between header and index, in order, without
// overlap, and keeps its limits.
Result<PackIndex> parse_pack_index(ByteView index, const IndexPlace& place);

// The coded bytes of `plain` and the coder chosen: zstd, or raw where that is not smaller.
struct CodedFrame {
  Coder coder = Coder::raw;
  Buffer bytes;
};
CodedFrame encode_frame(ByteView plain, ZstdCompressor& compressor);

// A decoded frame, the digests of its chunks checked: those of a frame, or of several, at once cost
// a fraction of one after the other (sha256_many.hpp). A chunk with other bytes than its id says is
// refused, the others are not.
class PlainFrame {
 public:
  // `corrupt` unless the coded bytes decode to what the index says.
  static Result<PlainFrame> decode(const Frame& frame, ByteView coded,
                                   ZstdDecompressor& decompressor);
  // Several, in order; as many `coded` as `frames`.
  static Result<std::vector<PlainFrame>> decode(std::span<const Frame> frames,
                                                std::span<const ByteView> coded,
                                                ZstdDecompressor& decompressor);

  std::size_t chunk_count() const { return chunks_.size(); }
  const Buffer& plain() const { return plain_; }
  // Chunk number `index`. `corrupt` when its bytes are not what its id says.
  Result<ByteView> chunk(std::size_t index) const;
  // The chunk `ref`, where an index has it. `corrupt` when another one is there, too.
  Result<ByteView> chunk_at(std::uint32_t offset, const ChunkRef& ref) const;

 private:
  struct Chunk {
    ChunkRef ref;
    std::uint32_t offset = 0;
    bool is_sound = false;
  };
  ByteView bytes_of(const Chunk& chunk) const {
    return ByteView(plain_).subspan(chunk.offset, chunk.ref.length);
  }

  Buffer plain_;
  std::vector<Chunk> chunks_;  // Ascending by offset.
};

struct PackSummary {
  PackId id;
  std::uint64_t size = 0;
  std::vector<Sha256Digest> block_hashes;  // Of the whole file: what a torrent is made from.
  PackIndex index;
};

// Writes a pack through `write`, which appends to a file.
class PackBuilder {
 public:
  using Write = std::function<Status(ByteView bytes)>;

  explicit PackBuilder(Write write) : write_(std::move(write)) {}

  // Appends one frame. Preconditions: `chunks` not empty but for a delta frame, lengths add up to
  // at most kFramePlainMax, and size() stays below kPackSizeMax; all frames are patches or none is,
  // and likewise delta frames. Errors of `write` are passed on; drop the object then.
  Status add(Coder coder, ByteView coded, std::vector<ChunkRef> chunks);

  std::uint64_t size() const { return size_; }
  bool empty() const { return index_.frames.empty(); }
  bool has_patches() const { return holds(Coder::patch); }
  std::size_t frame_count() const { return index_.frames.size(); }

  // Writes index and footer. Call once, last, on a pack that is not empty.
  Result<PackSummary> finish();

 private:
  Status append(ByteView bytes);
  bool holds(Coder coder) const { return !empty() && index_.frames.front().coder == coder; }

  Write write_;
  MerkleHasher hasher_;
  std::uint64_t size_ = 0;
  PackIndex index_;
};

}  // namespace lamina::format
