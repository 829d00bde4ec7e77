#include "shared/format/pack.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"
#include "shared/hash/sha256_many.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::format {
namespace {

constexpr std::string_view kPackMagic = "LMpk";
constexpr std::string_view kFooterMagic = "LMpf";
constexpr std::uint16_t kVersion = 1;
// What is beyond version 1 takes a bit each.
constexpr std::uint32_t kFeaturePatches = 1;
constexpr std::uint32_t kFeatureDeltas = 2;
constexpr std::uint32_t kKnownFeatures = kFeaturePatches | kFeatureDeltas;
constexpr std::size_t kFrameRecordMin = 3;  // Coder, size, count of chunks.

std::uint32_t features_of(Coder coder) {
  if (coder == Coder::patch) return kFeaturePatches;
  return coder == Coder::delta ? kFeatureDeltas : 0;
}

Buffer header_bytes(std::uint32_t features) {
  Writer out;
  out.raw(as_view(kPackMagic));
  out.u16(kVersion);
  out.u16(0);
  out.u32(features);
  out.u32(0);
  return out.take();
}

}  // namespace

Status check_pack_header(ByteView header) {
  Reader in(header);
  const bool magic = as_text(in.raw(4)) == kPackMagic;
  const std::uint16_t version = in.u16();
  const std::uint16_t padding = in.u16();
  const std::uint32_t features = in.u32();
  const std::uint32_t rest = in.u32();
  if (!in.finished() || !magic || padding != 0 || rest != 0)
    return fail(ErrorKind::corrupt, "not a pack");
  if (version != kVersion)
    return fail(ErrorKind::invalid, "the pack has version " + std::to_string(version) +
                                        "; this program reads version 1");
  if ((features & ~kKnownFeatures) != 0)
    return fail(ErrorKind::invalid, "the pack needs features that this program lacks (bits " +
                                        std::to_string(features & ~kKnownFeatures) +
                                        "): install a newer version");
  return Done{};
}

Result<IndexPlace> parse_pack_footer(ByteView footer, std::uint64_t pack_size) {
  Reader in(footer);
  IndexPlace place;
  place.offset = in.u64();
  place.size = in.u32();
  const std::uint32_t zero = in.u32();
  place.checksum = in.u64();
  const std::uint32_t more = in.u32();
  const bool magic = as_text(in.raw(4)) == kFooterMagic;
  if (!in.finished() || !magic || zero != 0 || more != 0)
    return fail(ErrorKind::corrupt, "the pack has no footer: it is cut off or no pack");
  if (pack_size > kPackSizeMax || place.size > kPackIndexMax || place.offset < kPackHeaderSize ||
      place.offset > pack_size || pack_size - place.offset != place.size + kPackFooterSize)
    return fail(ErrorKind::corrupt, "the pack's footer does not fit its size");
  return place;
}

Result<PackIndex> parse_pack_index(ByteView bytes, const IndexPlace& place) {
  if (bytes.size() != place.size || xxh3(bytes) != place.checksum)
    return fail(ErrorKind::corrupt, "the pack's index fails its checksum");
  Reader in(bytes);
  PackIndex index;
  const std::uint64_t count = in.count(kFrameRecordMin);
  std::uint64_t offset = kPackHeaderSize;
  for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
    const std::string name = "frame " + std::to_string(i) + " of the pack";
    Frame frame;
    const std::uint8_t coder = in.u8();
    if (coder > static_cast<std::uint8_t>(Coder::zstd) &&
        coder != static_cast<std::uint8_t>(Coder::patch) &&
        coder != static_cast<std::uint8_t>(Coder::delta) && !in.failed())
      return fail(ErrorKind::invalid, name + " has coder " + std::to_string(coder) +
                                          ", which this program lacks: install a newer version");
    frame.coder = static_cast<Coder>(coder);
    frame.offset = offset;
    const bool is_delta = frame.coder == Coder::delta;
    frame.coded_size =
        static_cast<std::uint32_t>(in.varint(is_delta ? kPackSizeMax : kFramePlainMax));
    frame.chunks = decode_chunk_refs(in, kFramePlainMax);
    std::uint64_t plain = 0;
    for (const ChunkRef& chunk : frame.chunks) {
      plain += chunk.length;
      if (chunk.length == 0) in.set_failed();
    }
    if (in.failed() || (plain == 0) != is_delta || plain > kFramePlainMax ||
        frame.coded_size == 0 || frame.coded_size > place.offset - offset ||
        (frame.coder == Coder::raw && frame.coded_size != plain))
      return fail(ErrorKind::corrupt, name + " breaks its limits");
    frame.plain_size = static_cast<std::uint32_t>(plain);
    offset += frame.coded_size;
    index.frames.push_back(std::move(frame));
  }
  if (!in.finished() || offset != place.offset || index.frames.empty())
    return fail(ErrorKind::corrupt, "the pack's index does not describe its bytes");
  return index;
}

CodedFrame encode_frame(ByteView plain, ZstdCompressor& compressor) {
  CodedFrame frame{Coder::zstd, compressor.compress(plain)};
  if (frame.bytes.size() < plain.size()) return frame;
  return {Coder::raw, to_buffer(plain)};
}

Result<PlainFrame> PlainFrame::decode(const Frame& frame, ByteView coded,
                                      ZstdDecompressor& decompressor) {
  auto frames = decode({&frame, 1}, {&coded, 1}, decompressor);
  if (!frames) return fail(std::move(frames.error()));
  return std::move(frames->front());
}

Result<std::vector<PlainFrame>> PlainFrame::decode(std::span<const Frame> frames,
                                                   std::span<const ByteView> coded,
                                                   ZstdDecompressor& decompressor) {
  LAMINA_ASSERT(frames.size() == coded.size());
  std::vector<PlainFrame> decoded(frames.size());
  std::vector<ByteView> messages;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Frame& frame = frames[i];
    if (coded[i].size() != frame.coded_size) return fail(ErrorKind::corrupt, "a frame is cut off");
    if (frame.coder == Coder::patch)
      return fail(ErrorKind::invalid, "a patch builds upon other chunks and cannot be read alone");
    if (frame.coder == Coder::delta) continue;  // No chunk to be read: its pack's name proves it.
    auto plain = frame.coder == Coder::raw ? Result<Buffer>(to_buffer(coded[i]))
                                           : decompressor.decompress(coded[i], frame.plain_size);
    if (!plain) return fail(std::move(plain.error()));
    decoded[i].plain_ = std::move(*plain);
    std::uint32_t offset = 0;
    for (const ChunkRef& ref : frame.chunks) {
      decoded[i].chunks_.push_back({.ref = ref, .offset = offset, .is_sound = false});
      messages.push_back(decoded[i].bytes_of(decoded[i].chunks_.back()));
      offset += ref.length;
    }
  }
  std::vector<Sha256Digest> digests(messages.size());
  sha256_many(messages, digests);
  auto digest = digests.begin();
  for (PlainFrame& frame : decoded)
    for (Chunk& chunk : frame.chunks_) chunk.is_sound = ChunkId(*digest++) == chunk.ref.id;
  return decoded;
}

Result<ByteView> PlainFrame::chunk(std::size_t index) const {
  LAMINA_ASSERT(index < chunks_.size());
  const Chunk& chunk = chunks_[index];
  if (!chunk.is_sound)
    return fail(ErrorKind::corrupt,
                "chunk " + chunk.ref.id.short_hex() + " has other bytes than its id says");
  return bytes_of(chunk);
}

Result<ByteView> PlainFrame::chunk_at(std::uint32_t offset, const ChunkRef& ref) const {
  const auto found = std::ranges::lower_bound(chunks_, offset, {}, &Chunk::offset);
  if (found == chunks_.end() || found->offset != offset || found->ref != ref)
    return fail(ErrorKind::corrupt,
                "chunk " + ref.id.short_hex() + " is not where the index has it");
  return chunk(static_cast<std::size_t>(found - chunks_.begin()));
}

Status PackBuilder::append(ByteView bytes) {
  if (auto done = write_(bytes); !done) return done;
  hasher_.update(bytes);
  size_ += bytes.size();
  return Done{};
}

Status PackBuilder::add(Coder coder, ByteView coded, std::vector<ChunkRef> chunks) {
  if (size_ == 0)
    if (auto done = append(header_bytes(features_of(coder))); !done) return done;
  std::uint64_t plain = 0;
  for (const ChunkRef& chunk : chunks) plain += chunk.length;
  LAMINA_ASSERT((plain > 0) == (coder != Coder::delta) && plain <= kFramePlainMax &&
                size_ + coded.size() < kPackSizeMax);
  LAMINA_ASSERT(empty() || features_of(index_.frames.front().coder) == features_of(coder));
  index_.frames.push_back({.coder = coder,
                           .offset = size_,
                           .coded_size = static_cast<std::uint32_t>(coded.size()),
                           .plain_size = static_cast<std::uint32_t>(plain),
                           .chunks = std::move(chunks)});
  return append(coded);
}

Result<PackSummary> PackBuilder::finish() {
  LAMINA_ASSERT(!empty());
  Writer index;
  index.varint(index_.frames.size());
  for (const Frame& frame : index_.frames) {
    index.u8(static_cast<std::uint8_t>(frame.coder));
    index.varint(frame.coded_size);
    encode_chunk_refs(frame.chunks, index);
  }
  Writer footer;
  footer.u64(size_);
  footer.u32(static_cast<std::uint32_t>(index.size()));
  footer.u32(0);
  footer.u64(xxh3(index.view()));
  footer.u32(0);
  footer.raw(as_view(kFooterMagic));
  if (auto done = append(index.view()); !done) return fail(std::move(done.error()));
  if (auto done = append(footer.view()); !done) return fail(std::move(done.error()));
  PackSummary summary;
  summary.block_hashes = hasher_.finish();
  summary.id = PackId(merkle_root(summary.block_hashes));
  summary.size = size_;
  summary.index = std::move(index_);
  return summary;
}

}  // namespace lamina::format
