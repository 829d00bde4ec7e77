#include "shared/codec/xz.hpp"

#include <lzma.h>

#include <algorithm>
#include <array>

#include "shared/base/assert.hpp"
#include "shared/codec/gathered.hpp"

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
  Gathered plain;
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK && plain.size() <= plain_max) {
    // One byte more than allowed shows that there is more.
    const auto room = plain.room(plain_max - plain.size() + 1);
    stream.next_out = octets(room.data());
    stream.avail_out = room.size();
    result = lzma_code(&stream, LZMA_FINISH);
    plain.wrote(room.size() - stream.avail_out);
  }
  const std::size_t coded_size = coded.size() - stream.avail_in;
  lzma_end(&stream);
  if (plain.size() > plain_max)
    return fail(ErrorKind::invalid,
                "LZMA2 data holds more than " + std::to_string(plain_max) + " bytes");
  if (result != LZMA_STREAM_END)
    return fail(ErrorKind::corrupt,
                "this is no whole LZMA2 data (liblzma code " + std::to_string(result) + ")");
  return Lzma2Plain{.plain = plain.take(), .coded_size = coded_size};
}

Status lzma2_pieces(const NextPiece& next, const Lzma2Shape& shape, const TakePiece& take) {
  const Chain chain(shape);
  lzma_stream stream = LZMA_STREAM_INIT;
  LAMINA_ASSERT(lzma_raw_encoder(&stream, chain.filters.data()) == LZMA_OK);
  Buffer coded(kPiece);
  bool is_end = false;
  Status done = Done{};
  for (lzma_ret result = LZMA_OK; done && result != LZMA_STREAM_END;) {
    if (stream.avail_in == 0 && !is_end) {
      const auto piece = next();
      if (!piece) {
        done = fail(piece.error());
        break;
      }
      is_end = piece->empty();
      stream.next_in = octets(*piece);
      stream.avail_in = piece->size();
    }
    stream.next_out = octets(coded.data());
    stream.avail_out = coded.size();
    result = lzma_code(&stream, is_end ? LZMA_FINISH : LZMA_RUN);
    LAMINA_ASSERT(result == LZMA_OK || result == LZMA_STREAM_END);
    done = take(ByteView(coded).first(coded.size() - stream.avail_out));
  }
  lzma_end(&stream);
  return done;
}

Buffer lzma2_bytes(ByteView plain, const Lzma2Shape& shape) {
  Buffer coded;
  LAMINA_ASSERT(lzma2_pieces(pieces_of(plain), shape, append_to(coded)));
  return coded;
}

bool lzma2_codes_to(ByteView plain, const Lzma2Shape& shape, ByteView coded) {
  Comparison same(coded);
  return lzma2_pieces(pieces_of(plain), shape, same.take()) && same.is_whole();
}

std::string lzma_version() { return lzma_version_string(); }

}  // namespace lamina
