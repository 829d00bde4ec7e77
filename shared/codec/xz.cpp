#include "shared/codec/xz.hpp"

#include <lzma.h>

#include <algorithm>
#include <array>
#include <functional>

#include "shared/base/assert.hpp"

namespace lamina {
namespace {

constexpr std::size_t kPiece = 256 * 1024;

// xz-file-format.txt, 5.3.1.
std::uint32_t dictionary_of(std::uint8_t code) { return (2U | (code & 1U)) << (code / 2 + 11); }

const std::uint8_t* octets(ByteView bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}
std::uint8_t* octets(std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(bytes); }

// The chain of filters of a shape. Not copied: liblzma has pointers into it.
struct Chain {
  explicit Chain(const Lzma2Shape& shape) {
    LAMINA_ASSERT(shape.preset <= 9 && shape.dictionary_code <= kDictionaryCodeMax);
    const std::uint32_t preset = shape.preset | (shape.is_extreme ? LZMA_PRESET_EXTREME : 0);
    LAMINA_ASSERT(!lzma_lzma_preset(&options, preset));
    options.dict_size = dictionary_of(shape.dictionary_code);
    std::size_t filter = 0;
    if (shape.has_x86) filters[filter++] = {LZMA_FILTER_X86, nullptr};
    filters[filter++] = {LZMA_FILTER_LZMA2, &options};
    filters[filter] = {LZMA_VLI_UNKNOWN, nullptr};
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;
  lzma_options_lzma options{};
  std::array<lzma_filter, 3> filters{};
};

// Gives the coded bytes to `take` piece by piece until it returns false.
void code_pieces(ByteView plain, const Lzma2Shape& shape,
                 const std::function<bool(ByteView)>& take) {
  const Chain chain(shape);
  lzma_stream stream = LZMA_STREAM_INIT;
  LAMINA_ASSERT(lzma_raw_encoder(&stream, chain.filters.data()) == LZMA_OK);
  stream.next_in = octets(plain);
  stream.avail_in = plain.size();
  Buffer piece(kPiece);
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK) {
    stream.next_out = octets(piece.data());
    stream.avail_out = piece.size();
    result = lzma_code(&stream, LZMA_FINISH);
    LAMINA_ASSERT(result == LZMA_OK || result == LZMA_STREAM_END);
    if (!take(ByteView(piece).first(piece.size() - stream.avail_out))) break;
  }
  lzma_end(&stream);
}

}  // namespace

std::uint64_t lzma2_memory(const Lzma2Shape& shape, std::uint64_t plain_size) {
  // The manual of xz(1), of its presets: up to 12 times the dictionary, of which no more is touched
  // than there are bytes to code.
  return 12 * std::min<std::uint64_t>(plain_size, dictionary_of(shape.dictionary_code)) +
         (std::uint64_t{4} << 20);
}

std::optional<XzHeader> xz_header(ByteView file) {
  if (file.size() <= LZMA_STREAM_HEADER_SIZE) return std::nullopt;
  lzma_stream_flags flags{};
  if (lzma_stream_header_decode(&flags, octets(file)) != LZMA_OK) return std::nullopt;
  const ByteView behind = file.subspan(LZMA_STREAM_HEADER_SIZE);
  // Zero is the index of a file without blocks.
  if (behind[0] == std::byte{0}) return std::nullopt;
  std::array<lzma_filter, LZMA_FILTERS_MAX + 1> filters{};
  lzma_block block{};
  block.check = flags.check;
  block.filters = filters.data();
  block.header_size = lzma_block_header_size_decode(std::to_integer<std::uint32_t>(behind[0]));
  if (block.header_size > behind.size() ||
      lzma_block_header_decode(&block, nullptr, octets(behind)) != LZMA_OK)
    return std::nullopt;
  XzHeader header{.data = LZMA_STREAM_HEADER_SIZE + block.header_size};
  std::uint32_t dictionary = 0;
  bool is_known = true;
  for (const lzma_filter& filter : filters) {
    if (filter.id == LZMA_VLI_UNKNOWN) break;
    if (filter.id == LZMA_FILTER_LZMA2)
      dictionary = static_cast<const lzma_options_lzma*>(filter.options)->dict_size;
    else if (filter.id == LZMA_FILTER_X86 && filter.options == nullptr)
      header.shape.has_x86 = true;
    else
      is_known = false;
  }
  lzma_filters_free(filters.data(), nullptr);
  if (!is_known) return std::nullopt;
  for (std::uint8_t code = 0; code <= kDictionaryCodeMax; ++code)
    if (dictionary_of(code) == dictionary) {
      header.shape.dictionary_code = code;
      return header;
    }
  return std::nullopt;
}

Result<Lzma2Plain> lzma2_decode_any(ByteView coded, const Lzma2Shape& shape,
                                    std::size_t plain_max) {
  const Chain chain(shape);
  lzma_stream stream = LZMA_STREAM_INIT;
  LAMINA_ASSERT(lzma_raw_decoder(&stream, chain.filters.data()) == LZMA_OK);
  stream.next_in = octets(coded);
  stream.avail_in = coded.size();
  Lzma2Plain decoded;
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK) {
    const std::size_t have = decoded.plain.size();
    // One byte more than allowed shows that there is more.
    const std::size_t room = std::min(kPiece, plain_max - have + 1);
    decoded.plain.resize(have + room);
    stream.next_out = octets(decoded.plain.data() + have);
    stream.avail_out = room;
    result = lzma_code(&stream, LZMA_FINISH);
    decoded.plain.resize(have + room - stream.avail_out);
    if (decoded.plain.size() > plain_max) break;
  }
  decoded.coded_size = coded.size() - stream.avail_in;
  lzma_end(&stream);
  if (decoded.plain.size() > plain_max)
    return fail(ErrorKind::invalid,
                "LZMA2 data holds more than " + std::to_string(plain_max) + " bytes");
  if (result != LZMA_STREAM_END)
    return fail(ErrorKind::corrupt,
                "this is no whole LZMA2 data (liblzma code " + std::to_string(result) + ")");
  return decoded;
}

Buffer lzma2_bytes(ByteView plain, const Lzma2Shape& shape) {
  Buffer coded;
  code_pieces(plain, shape, [&](ByteView piece) {
    coded.insert(coded.end(), piece.begin(), piece.end());
    return true;
  });
  return coded;
}

bool lzma2_codes_to(ByteView plain, const Lzma2Shape& shape, ByteView coded) {
  bool is_same = true;
  code_pieces(plain, shape, [&](ByteView piece) {
    is_same = piece.size() <= coded.size() && std::equal(piece.begin(), piece.end(), coded.begin());
    if (is_same) coded = coded.subspan(piece.size());
    return is_same;
  });
  return is_same && coded.empty();
}

std::string lzma_version() { return lzma_version_string(); }

}  // namespace lamina
