// Patch: the body of a frame whose chunks are built from chunks that the receiver has and from
// bytes that come along. How pages that were changed in place travel without the rest of their
// chunks; see FORMAT.md, "Patch".
//
// A patch is made by who sees a file change and read by who stores the result: it is never stored
// itself. What was built is proven by the chunks' ids like any other frame.
//
// Pure. One thread at a time per object.
#pragma once

#include <span>

#include "shared/format/pack.hpp"

namespace lamina::format {

// Of a chunk the bytes [at, at + length) are the bytes [offset, offset + length) of chunk `from`.
struct Same {
  std::uint32_t at = 0;
  std::uint32_t length = 0;
  ChunkRef from;
  std::uint32_t offset = 0;
};

// A frame needs at most so many references, and so many bytes of them: what a patch can make its
// receiver read.
constexpr std::size_t kPatchReferencesMax = 4096;
constexpr std::uint64_t kPatchReadMax = std::uint64_t{64} << 20;
constexpr std::uint32_t kPatchBodyMax = kFramePlainMax + (1 << 20);

class PatchBuilder {
 public:
  // Whether the chunk fits beside those that are in already; one that does not fit into an empty
  // patch is not for a patch.
  bool has_room_for(const ChunkRef& ref, std::span<const Same> same) const;
  // `same` ascends, without overlap, within `plain`. Precondition: there is room.
  void add(const ChunkRef& ref, ByteView plain, std::span<const Same> same);

  bool empty() const { return chunks_.empty(); }
  // Bytes that come along, before they are compressed.
  std::size_t literal_bytes() const { return literals_.size(); }

  // The coded frame; the builder is empty then. Its offset is the pack's to say.
  struct Coded {
    Frame frame;
    Buffer bytes;
  };
  Coded finish(ZstdCompressor& compressor);

 private:
  Writer parts_;
  Buffer literals_;
  std::vector<ChunkRef> references_;
  std::uint64_t reference_bytes_ = 0;
  std::vector<ChunkRef> chunks_;
  std::uint32_t plain_size_ = 0;
};

class Patch {
 public:
  // `corrupt` unless the coded bytes are a patch that builds exactly what `frame` says, within the
  // limits above.
  static Result<Patch> parse(const Frame& frame, ByteView coded, ZstdDecompressor& decompressor);

  // What it builds upon, in the order in which it is read.
  const std::vector<ChunkRef>& references() const { return references_; }

  // The plain bytes of the frame, not checked; each reference is read once at most. Errors of
  // `source` are passed on.
  Result<Buffer> build(const ChunkSource& source) const;

 private:
  struct Part {
    std::uint32_t length = 0;
    std::uint32_t reference = 0;  // kLiteral: the next bytes that came along.
    std::uint32_t offset = 0;
  };
  static constexpr std::uint32_t kLiteral = UINT32_MAX;

  std::vector<ChunkRef> references_;
  std::vector<Part> parts_;
  Buffer body_;
  std::size_t literals_at_ = 0;  // In body_.
  std::uint32_t plain_size_ = 0;
};

}  // namespace lamina::format
