// A pack. One that is accepted is built again from its index to the same bytes. The index parser is
// also fed directly, with a checksum that fits, because no mutation gets past a checksum by chance.
#include <algorithm>

#include <span>

#include "shared/base/assert.hpp"
#include "shared/format/pack.hpp"
#include "shared/hash/xxh3.hpp"

using namespace lamina;

namespace {

void read_pack(ByteView pack) {
  if (pack.size() < format::kPackHeaderSize + format::kPackFooterSize) return;
  if (!format::check_pack_header(pack.first(format::kPackHeaderSize))) return;
  const auto place = format::parse_pack_footer(pack.last(format::kPackFooterSize), pack.size());
  if (!place) return;
  const auto index = format::parse_pack_index(pack.subspan(place->offset, place->size), *place);
  if (!index) return;
  ZstdDecompressor zstd;
  Buffer again;
  format::PackBuilder builder([&](ByteView bytes) -> Status {
    again.insert(again.end(), bytes.begin(), bytes.end());
    return Done{};
  });
  for (const auto& frame : index->frames) {
    const ByteView coded = pack.subspan(frame.offset, frame.coded_size);
    const auto plain = format::PlainFrame::decode(frame, coded, zstd);
    for (std::size_t i = 0; plain && i < frame.chunks.size(); ++i) {
      const auto chunk = plain->chunk(i);
      LAMINA_ASSERT(!chunk || digest<ChunkId>(*chunk) == frame.chunks[i].id);
    }
    LAMINA_ASSERT(builder.add(frame.coder, coded, frame.chunks));
  }
  LAMINA_ASSERT(builder.finish());
  LAMINA_ASSERT(std::ranges::equal(again, pack));
}

void read_index(ByteView pack) {
  const auto header = std::min(pack.size(), format::kPackHeaderSize);
  const auto footer = std::min(pack.size() - header, format::kPackFooterSize);
  const auto place = format::parse_pack_footer(pack.last(footer), pack.size());
  if (!place) return;
  const ByteView bytes = pack.subspan(place->offset, place->size);
  const format::IndexPlace fitting{place->offset, place->size, xxh3(bytes)};
  const auto index = format::parse_pack_index(bytes, fitting);
  if (!index) return;
  std::uint64_t offset = format::kPackHeaderSize;
  for (const auto& frame : index->frames) {
    LAMINA_ASSERT(frame.offset == offset && frame.plain_size <= format::kFramePlainMax);
    offset += frame.coded_size;
  }
  LAMINA_ASSERT(offset == place->offset);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  read_pack(input);
  read_index(input);
  return 0;
}
