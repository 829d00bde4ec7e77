#include "shared/codec/zstd_program.hpp"

#include <zstd.h>

#include "shared/base/assert.hpp"

namespace lamina {

Buffer zstd_as_program(ByteView plain, const ZstdProgram& program) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  LAMINA_ASSERT(context != nullptr);
  const auto sure = [](std::size_t result) {
    LAMINA_ASSERT(ZSTD_isError(result) == 0);
    return result;
  };
  sure(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, program.level));
  sure(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, program.has_checksum ? 1 : 0));
  sure(ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, 1));
  if (program.has_size) sure(ZSTD_CCtx_setPledgedSrcSize(context, plain.size()));
  Buffer coded;
  Buffer piece(ZSTD_CStreamOutSize());
  ZSTD_inBuffer in{plain.data(), plain.size(), 0};
  // Not all at once: a size known at the end would be written into the header.
  auto mode = program.has_size ? ZSTD_e_end : ZSTD_e_continue;
  for (;;) {
    ZSTD_outBuffer out{piece.data(), piece.size(), 0};
    const std::size_t left = sure(ZSTD_compressStream2(context, &out, &in, mode));
    coded.insert(coded.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(out.pos));
    if (mode == ZSTD_e_end && left == 0) break;
    if (in.pos == in.size) mode = ZSTD_e_end;
  }
  ZSTD_freeCCtx(context);
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
  ZSTD_DCtx* const context = ZSTD_createDCtx();
  LAMINA_ASSERT(context != nullptr);
  Buffer plain;
  Buffer piece(ZSTD_DStreamOutSize());
  ZSTD_inBuffer in{coded.data(), coded.size(), 0};
  std::size_t left = 1;
  bool is_stuck = false;
  while (left != 0 && ZSTD_isError(left) == 0 && plain.size() <= plain_max && !is_stuck) {
    ZSTD_outBuffer out{piece.data(), piece.size(), 0};
    const std::size_t before = in.pos;
    left = ZSTD_decompressStream(context, &out, &in);
    plain.insert(plain.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(out.pos));
    is_stuck = left != 0 && out.pos == 0 && in.pos == before;
  }
  ZSTD_freeDCtx(context);
  if (plain.size() > plain_max)
    return fail(ErrorKind::invalid,
                "zstd data holds more than " + std::to_string(plain_max) + " bytes");
  if (left != 0) return fail(ErrorKind::corrupt, "this is no whole zstd frame");
  return plain;
}

std::string zstd_version() { return ZSTD_versionString(); }

}  // namespace lamina
