#include "shared/codec/zstd_program.hpp"

#include <zstd.h>

#include <memory>

#include "shared/base/assert.hpp"
#include "shared/codec/gathered.hpp"

namespace lamina {

Status zstd_as_program(const NextPiece& next, std::uint64_t plain_size, const ZstdProgram& program,
                       const TakePiece& take) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     ZSTD_freeCCtx);
  LAMINA_ASSERT(context != nullptr);
  const auto sure = [](std::size_t result) { LAMINA_ASSERT(ZSTD_isError(result) == 0); };
  sure(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, program.level));
  sure(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, program.has_checksum ? 1 : 0));
  sure(ZSTD_CCtx_setParameter(context.get(), ZSTD_c_nbWorkers, 1));
  if (program.has_size) sure(ZSTD_CCtx_setPledgedSrcSize(context.get(), plain_size));
  Buffer coded(ZSTD_CStreamOutSize());
  ZSTD_inBuffer in{nullptr, 0, 0};
  std::uint64_t given = 0;
  bool is_end = false;
  for (std::size_t left = 1; !is_end || left != 0;) {
    if (in.pos == in.size && !is_end) {
      const auto piece = next();
      if (!piece) return fail(piece.error());
      is_end = piece->empty();
      given += piece->size();
      // A frame that says another size than it has is one that zstd does not make.
      if (given > plain_size || (is_end && given != plain_size))
        return fail(ErrorKind::corrupt,
                    "other than " + std::to_string(plain_size) + " bytes to be compressed");
      in = {piece->data(), piece->size(), 0};
    }
    ZSTD_outBuffer out{coded.data(), coded.size(), 0};
    left = ZSTD_compressStream2(context.get(), &out, &in, is_end ? ZSTD_e_end : ZSTD_e_continue);
    sure(left);
    if (auto taken = take(ByteView(coded).first(out.pos)); !taken) return taken;
  }
  return Done{};
}

Buffer zstd_as_program(ByteView plain, const ZstdProgram& program) {
  Buffer coded;
  LAMINA_ASSERT(zstd_as_program(pieces_of(plain), plain.size(), program, append_to(coded)));
  return coded;
}

std::optional<ZstdHeader> zstd_header(ByteView coded) {
  // RFC 8878, 3.1.1: magic, then the descriptor with the checksum's bit.
  constexpr std::size_t kDescriptor = 4;
  constexpr std::byte kChecksumBit{4};
  const std::size_t size = ZSTD_findFrameCompressedSize(coded.data(), coded.size());
  const unsigned long long content = ZSTD_getFrameContentSize(coded.data(), coded.size());
  if (ZSTD_isError(size) != 0 || content == ZSTD_CONTENTSIZE_ERROR || size <= kDescriptor)
    return std::nullopt;
  return ZstdHeader{.has_checksum = (coded[kDescriptor] & kChecksumBit) != std::byte{0},
                    .has_size = content != ZSTD_CONTENTSIZE_UNKNOWN,
                    .coded_size = size};
}

Result<Buffer> zstd_decode_any(ByteView coded, std::size_t plain_max) {
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                     ZSTD_freeDCtx);
  LAMINA_ASSERT(context != nullptr);
  Gathered plain;
  ZSTD_inBuffer in{coded.data(), coded.size(), 0};
  std::size_t left = 1;
  bool is_stuck = false;
  while (left != 0 && ZSTD_isError(left) == 0 && plain.size() <= plain_max && !is_stuck) {
    // One byte more than allowed shows that there is more.
    const auto room = plain.room(plain_max - plain.size() + 1);
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    const std::size_t before = in.pos;
    left = ZSTD_decompressStream(context.get(), &out, &in);
    plain.wrote(out.pos);
    is_stuck = left != 0 && out.pos == 0 && in.pos == before;
  }
  if (plain.size() > plain_max)
    return fail(ErrorKind::invalid,
                "zstd data holds more than " + std::to_string(plain_max) + " bytes");
  if (left != 0) return fail(ErrorKind::corrupt, "this is no whole zstd frame");
  return plain.take();
}

std::string zstd_version() { return ZSTD_versionString(); }

}  // namespace lamina
