#include "shared/codec/zstd.hpp"

#include <zstd.h>

#include "shared/base/assert.hpp"

namespace lamina {

struct ZstdCompressor::State {
  State() : context(ZSTD_createCCtx()) { LAMINA_ASSERT(context != nullptr); }
  ~State() { ZSTD_freeCCtx(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ZSTD_CCtx* context;
};

ZstdCompressor::ZstdCompressor(int level) : state_(std::make_unique<State>()) {
  LAMINA_ASSERT(
      ZSTD_isError(ZSTD_CCtx_setParameter(state_->context, ZSTD_c_compressionLevel, level)) == 0);
}
ZstdCompressor::~ZstdCompressor() = default;
ZstdCompressor::ZstdCompressor(ZstdCompressor&&) noexcept = default;
ZstdCompressor& ZstdCompressor::operator=(ZstdCompressor&&) noexcept = default;

Buffer ZstdCompressor::compress(ByteView plain) {
  Buffer coded(ZSTD_compressBound(plain.size()));
  const std::size_t size =
      ZSTD_compress2(state_->context, coded.data(), coded.size(), plain.data(), plain.size());
  LAMINA_ASSERT(ZSTD_isError(size) == 0);
  coded.resize(size);
  return coded;
}

struct ZstdDecompressor::State {
  State() : context(ZSTD_createDCtx()) { LAMINA_ASSERT(context != nullptr); }
  ~State() { ZSTD_freeDCtx(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ZSTD_DCtx* context;
};

ZstdDecompressor::ZstdDecompressor() : state_(std::make_unique<State>()) {}
ZstdDecompressor::~ZstdDecompressor() = default;
ZstdDecompressor::ZstdDecompressor(ZstdDecompressor&&) noexcept = default;
ZstdDecompressor& ZstdDecompressor::operator=(ZstdDecompressor&&) noexcept = default;

Result<Buffer> ZstdDecompressor::decompress(ByteView coded, std::size_t plain_size) {
  // One zstd frame and nothing behind it: appended bytes would ride along unverified.
  if (ZSTD_findFrameCompressedSize(coded.data(), coded.size()) != coded.size())
    return fail(ErrorKind::corrupt, "zstd data is cut off or has bytes behind it");
  Buffer plain(plain_size);
  const std::size_t size =
      ZSTD_decompressDCtx(state_->context, plain.data(), plain.size(), coded.data(), coded.size());
  if (ZSTD_isError(size) != 0)
    return fail(ErrorKind::corrupt, std::string("zstd data: ") + ZSTD_getErrorName(size));
  if (size != plain_size)
    return fail(ErrorKind::corrupt, "zstd data holds " + std::to_string(size) +
                                        " bytes instead of " + std::to_string(plain_size));
  return plain;
}

}  // namespace lamina
