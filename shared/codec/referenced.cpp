#include "shared/codec/referenced.hpp"

#include <lzma.h>
#include <zstd.h>

#include <algorithm>
#include <bit>

#include "shared/base/assert.hpp"

namespace lamina {
namespace {

// Long matches are looked for separately from here on: the tables of a level reach less far (m:
// solid groups of 4 MiB with references at level 9 are 3 % smaller with it).
constexpr std::size_t kLongDistanceFrom = std::size_t{128} << 10;
constexpr int kWindowLogLeast = 17;

int window_log(std::size_t bytes) {
  return std::max(kWindowLogLeast, static_cast<int>(std::bit_width(bytes)));
}

// The filter that both sides work out from the sizes alone: nothing of it travels.
lzma_options_lzma lzma_options(ByteView reference, std::size_t plain_size) {
  lzma_options_lzma options;
  LAMINA_ASSERT(!lzma_lzma_preset(&options, 6));
  const std::size_t all = reference.size() + plain_size + 4096;
  options.dict_size = static_cast<std::uint32_t>(
      std::clamp<std::size_t>(all, 64 << 10, ReferencedCoder::kLzmaDictionaryMax));
  // Hash chains: half the time of binary trees, 2 % more bytes.
  options.mf = LZMA_MF_HC4;
  // m: a month's update of Debian, 77.9 MB in 184 s instead of 76.1 in 228 with 64.
  options.nice_len = 32;
  if (!reference.empty()) {
    const ByteView near =
        reference.last(std::min<std::size_t>(reference.size(), options.dict_size));
    options.preset_dict = reinterpret_cast<const std::uint8_t*>(near.data());
    options.preset_dict_size = static_cast<std::uint32_t>(near.size());
  }
  return options;
}

const std::uint8_t* octets(ByteView bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

Status check_nothing(ByteView coded) {
  if (coded.empty()) return Done{};
  return fail(ErrorKind::corrupt, "coded bytes where there is nothing to decode");
}

}  // namespace

struct ReferencedCoder::State {
  State() : coder(ZSTD_createCCtx()), decoder(ZSTD_createDCtx()) {
    LAMINA_ASSERT(coder != nullptr && decoder != nullptr);
  }
  ~State() {
    ZSTD_freeCCtx(coder);
    ZSTD_freeDCtx(decoder);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ZSTD_CCtx* coder;
  ZSTD_DCtx* decoder;
};

ReferencedCoder::ReferencedCoder() : state_(std::make_unique<State>()) {}
ReferencedCoder::~ReferencedCoder() = default;
ReferencedCoder::ReferencedCoder(ReferencedCoder&&) noexcept = default;
ReferencedCoder& ReferencedCoder::operator=(ReferencedCoder&&) noexcept = default;

Buffer ReferencedCoder::with_zstd(ByteView plain, ByteView reference, int level) {
  if (plain.empty()) return {};
  const std::size_t all = plain.size() + reference.size();
  LAMINA_ASSERT(all <= kMost);
  ZSTD_CCtx* const coder = state_->coder;
  const auto sure = [](std::size_t result) { LAMINA_ASSERT(ZSTD_isError(result) == 0); };
  sure(ZSTD_CCtx_reset(coder, ZSTD_reset_session_and_parameters));
  sure(ZSTD_CCtx_setParameter(coder, ZSTD_c_compressionLevel, level));
  sure(ZSTD_CCtx_setParameter(coder, ZSTD_c_windowLog, window_log(all)));
  // The frame around it says the size, and its digest proves it.
  sure(ZSTD_CCtx_setParameter(coder, ZSTD_c_contentSizeFlag, 0));
  if (all > kLongDistanceFrom)
    sure(ZSTD_CCtx_setParameter(coder, ZSTD_c_enableLongDistanceMatching, 1));
  if (!reference.empty()) sure(ZSTD_CCtx_refPrefix(coder, reference.data(), reference.size()));
  Buffer coded(ZSTD_compressBound(plain.size()));
  const std::size_t size =
      ZSTD_compress2(coder, coded.data(), coded.size(), plain.data(), plain.size());
  sure(size);
  coded.resize(size);
  coded.shrink_to_fit();
  return coded;
}

Status ReferencedCoder::decode_zstd(ByteView coded, ByteView reference,
                                    std::span<std::byte> plain) {
  if (plain.empty()) return check_nothing(coded);
  if (ZSTD_findFrameCompressedSize(coded.data(), coded.size()) != coded.size())
    return fail(ErrorKind::corrupt, "zstd data is cut off or has bytes behind it");
  ZSTD_DCtx* const decoder = state_->decoder;
  std::size_t size = ZSTD_DCtx_reset(decoder, ZSTD_reset_session_and_parameters);
  LAMINA_ASSERT(ZSTD_isError(size) == 0);
  // Memory does not follow the window that the data asks for: it is decoded in one go, in place.
  size = ZSTD_DCtx_setParameter(decoder, ZSTD_d_windowLogMax,
                                window_log(plain.size() + reference.size()));
  LAMINA_ASSERT(ZSTD_isError(size) == 0);
  if (!reference.empty()) {
    size = ZSTD_DCtx_refPrefix(decoder, reference.data(), reference.size());
    LAMINA_ASSERT(ZSTD_isError(size) == 0);
  }
  size = ZSTD_decompressDCtx(decoder, plain.data(), plain.size(), coded.data(), coded.size());
  if (ZSTD_isError(size) != 0)
    return fail(ErrorKind::corrupt, std::string("zstd data: ") + ZSTD_getErrorName(size));
  if (size != plain.size())
    return fail(ErrorKind::corrupt, "zstd data holds " + std::to_string(size) +
                                        " bytes instead of " + std::to_string(plain.size()));
  return Done{};
}

Buffer ReferencedCoder::with_lzma2(ByteView plain, ByteView reference) {
  if (plain.empty()) return {};
  LAMINA_ASSERT(plain.size() + reference.size() <= kMost);
  auto options = lzma_options(reference, plain.size());
  const lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
  Buffer coded(lzma_stream_buffer_bound(plain.size()));
  std::size_t size = 0;
  const lzma_ret result =
      lzma_raw_buffer_encode(filters, nullptr, octets(plain), plain.size(),
                             reinterpret_cast<std::uint8_t*>(coded.data()), &size, coded.size());
  LAMINA_ASSERT(result == LZMA_OK);
  coded.resize(size);
  coded.shrink_to_fit();
  return coded;
}

Status ReferencedCoder::decode_lzma2(ByteView coded, ByteView reference,
                                     std::span<std::byte> plain) {
  if (plain.empty()) return check_nothing(coded);
  auto options = lzma_options(reference, plain.size());
  const lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
  std::size_t used = 0;
  std::size_t size = 0;
  const lzma_ret result =
      lzma_raw_buffer_decode(filters, nullptr, octets(coded), &used, coded.size(),
                             reinterpret_cast<std::uint8_t*>(plain.data()), &size, plain.size());
  if (result != LZMA_OK || used != coded.size() || size != plain.size())
    return fail(ErrorKind::corrupt, "LZMA2 data does not decode to " +
                                        std::to_string(plain.size()) + " bytes (code " +
                                        std::to_string(result) + ")");
  return Done{};
}

}  // namespace lamina
