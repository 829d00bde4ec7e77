#include "shared/format/patch.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"

namespace lamina::format {
namespace {

constexpr std::size_t kPartMin = 2;  // Bytes of a literal: its kind and length.

}  // namespace

bool PatchBuilder::has_room_for(const ChunkRef& ref, std::span<const Same> same) const {
  std::uint64_t read = reference_bytes_;
  for (const Same& one : same) read += one.from.length;  // At most.
  // Half a frame, so that its coded bytes fit even if nothing can be compressed.
  return plain_size_ + std::uint64_t{ref.length} <= kFramePlainMax / 2 &&
         references_.size() + same.size() <= kPatchReferencesMax && read <= kPatchReadMax &&
         parts_.size() + (same.size() + 1) * 16 <=
             (kPatchBodyMax - kFramePlainMax) - kPatchReferencesMax * (ChunkId::kSize + 5);
}

void PatchBuilder::add(const ChunkRef& ref, ByteView plain, std::span<const Same> same) {
  LAMINA_ASSERT(plain.size() == ref.length && has_room_for(ref, same));
  std::uint32_t done = 0;
  const auto literal_until = [&](std::uint32_t end) {
    if (end == done) return;
    parts_.varint(0);
    parts_.varint(end - done);
    const ByteView bytes = plain.subspan(done, end - done);
    literals_.insert(literals_.end(), bytes.begin(), bytes.end());
  };
  for (const Same& one : same) {
    LAMINA_ASSERT(one.at >= done && one.length > 0 && one.length <= ref.length - one.at);
    literal_until(one.at);
    if (references_.empty() || references_.back() != one.from) {
      references_.push_back(one.from);
      reference_bytes_ += one.from.length;
    }
    parts_.varint(references_.size());
    parts_.varint(one.length);
    parts_.varint(one.offset);
    done = one.at + one.length;
  }
  literal_until(ref.length);
  chunks_.push_back(ref);
  plain_size_ += ref.length;
}

PatchBuilder::Coded PatchBuilder::finish(ZstdCompressor& compressor) {
  LAMINA_ASSERT(!empty());
  Writer body;
  encode_chunk_refs(references_, body);
  body.varint(parts_.size());
  body.raw(parts_.view());
  body.raw(literals_);
  const Buffer packed = compressor.compress(body.view());
  Writer coded;
  coded.u32(static_cast<std::uint32_t>(body.size()));
  coded.raw(packed);
  Coded result{.frame = {.coder = Coder::patch,
                         .offset = 0,
                         .coded_size = static_cast<std::uint32_t>(coded.size()),
                         .plain_size = plain_size_,
                         .chunks = std::move(chunks_)},
               .bytes = coded.take()};
  *this = {};
  return result;
}

Result<Patch> Patch::parse(const Frame& frame, ByteView coded, ZstdDecompressor& decompressor) {
  const auto broken = [] { return fail(ErrorKind::corrupt, "a patch breaks its limits"); };
  Reader front(coded);
  const std::uint32_t size = front.u32();
  if (frame.coder != Coder::patch || coded.size() != frame.coded_size || front.failed() ||
      size == 0 || size > kPatchBodyMax)
    return broken();
  auto body = decompressor.decompress(coded.subspan(front.offset()), size);
  if (!body) return fail(std::move(body.error()));

  Patch patch;
  patch.body_ = std::move(*body);
  patch.plain_size_ = frame.plain_size;
  Reader in(patch.body_);
  patch.references_ = decode_chunk_refs(in, kPatchReferencesMax);
  std::uint64_t read = 0;
  for (const ChunkRef& reference : patch.references_) read += reference.length;
  const std::uint64_t parts_size = in.varint(in.remaining());
  Reader parts(in.raw(parts_size));
  if (in.failed() || read > kPatchReadMax) return broken();
  patch.literals_at_ = in.offset();

  std::uint64_t built = 0;
  std::uint64_t literals = 0;
  std::uint64_t last_reference = 0;
  patch.parts_.reserve(parts.remaining() / kPartMin);
  while (parts.remaining() > 0 && !parts.failed()) {
    const std::uint64_t reference = parts.varint(patch.references_.size());
    Part part;
    part.length = static_cast<std::uint32_t>(parts.varint(kFramePlainMax));
    if (reference == 0) {
      part.reference = kLiteral;
      literals += part.length;
    } else {
      part.reference = static_cast<std::uint32_t>(reference - 1);
      part.offset = static_cast<std::uint32_t>(parts.varint(kChunkMax));
      // In their order, so that each is read once.
      if (reference < last_reference) return broken();
      last_reference = reference;
      const std::uint32_t whole = patch.references_[part.reference].length;
      if (part.offset > whole || part.length > whole - part.offset) return broken();
    }
    built += part.length;
    if (part.length == 0 || built > frame.plain_size) return broken();
    patch.parts_.push_back(part);
  }
  if (parts.failed() || built != frame.plain_size || literals != in.remaining()) return broken();
  return patch;
}

Result<Buffer> Patch::build(const ChunkSource& source) const {
  Buffer plain;
  plain.reserve(plain_size_);
  std::size_t literal = literals_at_;
  std::uint32_t known = kLiteral;
  Buffer reference;
  for (const Part& part : parts_) {
    ByteView bytes;
    if (part.reference == kLiteral) {
      bytes = ByteView(body_).subspan(literal, part.length);
      literal += part.length;
    } else {
      if (part.reference != known) {
        auto read = source(references_[part.reference]);
        if (!read) return fail(std::move(read.error()));
        reference = std::move(*read);
        known = part.reference;
      }
      bytes = ByteView(reference).subspan(part.offset, part.length);
    }
    plain.insert(plain.end(), bytes.begin(), bytes.end());
  }
  return plain;
}

}  // namespace lamina::format
