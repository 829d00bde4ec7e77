#include "shared/update/update_head.hpp"

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"
#include "shared/format/manifest.hpp"

namespace lamina::update {
namespace {

constexpr std::string_view kMagic = "LMup";
constexpr std::uint8_t kVersion = 1;

}  // namespace

Buffer write_head(const UpdateHead& head) {
  Writer out;
  out.raw(as_view(kMagic));
  out.u8(kVersion);
  out.varint(head.metadata_lengths.size());
  for (const std::uint32_t length : head.metadata_lengths) out.varint(length);
  out.varint(head.packs.size());
  for (const PackId& pack : head.packs) out.raw(pack.bytes());
  out.varint(head.runs.size());
  for (const UpdateHead::Run& run : head.runs) {
    out.varint(run.pack);
    out.varint(run.chunks);
  }
  out.bytes(head.assembly);
  return out.take();
}

bool is_head(ByteView bytes) { return as_text(bytes).starts_with(kMagic); }

Result<UpdateHead> read_head(ByteView bytes) {
  Reader in(bytes);
  if (as_text(in.raw(kMagic.size())) != kMagic)
    return fail(ErrorKind::corrupt, "this is no update of a layer");
  if (const std::uint8_t version = in.u8(); !in.failed() && version != kVersion)
    return fail(ErrorKind::invalid, "an update of version " + std::to_string(version) +
                                        "; this program reads version " + std::to_string(kVersion));
  UpdateHead head;
  for (std::uint64_t left = in.count(1); left > 0 && !in.failed(); --left) {
    head.metadata_lengths.push_back(static_cast<std::uint32_t>(in.varint(format::kChunkMax)));
    if (head.metadata_lengths.back() == 0) in.set_failed();
  }
  for (std::uint64_t left = in.count(PackId::kSize); left > 0 && !in.failed(); --left)
    head.packs.push_back(in.id<PackId>());
  for (std::uint64_t left = in.count(2); left > 0 && !in.failed(); --left) {
    UpdateHead::Run run;
    run.pack = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
    run.chunks = in.varint();
    if (run.pack >= head.packs.size() || run.chunks == 0) in.set_failed();
    head.runs.push_back(run);
  }
  head.assembly = to_buffer(in.bytes(in.remaining()));
  if (!in.finished()) return fail(ErrorKind::corrupt, "the head of an update is broken");
  return head;
}

}  // namespace lamina::update
