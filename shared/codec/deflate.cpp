#include "shared/codec/deflate.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>

#include "shared/base/assert.hpp"
#include "shared/codec/gathered.hpp"

namespace lamina {
namespace {

constexpr int kRawWindowBits = -15;  // Negative: no zlib header; see zlib.h, deflateInit2.

// zlib does not write to its input, but says so only where ZLIB_CONST is set.
Bytef* input(ByteView bytes) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
}
uInt piece_of(std::size_t size) {
  return static_cast<uInt>(std::min<std::size_t>(size, std::numeric_limits<uInt>::max()));
}

}  // namespace

Result<Inflated> inflate_bytes(ByteView coded, std::size_t plain_max) {
  z_stream stream{};
  LAMINA_ASSERT(inflateInit2(&stream, kRawWindowBits) == Z_OK);
  Gathered plain;
  stream.next_in = input(coded);
  std::size_t left = coded.size();
  int result = Z_OK;
  while (result == Z_OK && plain.size() <= plain_max) {
    // One byte more than allowed shows that there is more.
    const auto room = plain.room(plain_max - plain.size() + 1);
    const uInt given = piece_of(left);
    stream.avail_in = given;
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = piece_of(room.size());
    result = inflate(&stream, Z_NO_FLUSH);
    left -= given - stream.avail_in;
    plain.wrote(room.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (plain.size() > plain_max)
    return fail(ErrorKind::invalid,
                "deflated data holds more than " + std::to_string(plain_max) + " bytes");
  if (result != Z_STREAM_END)
    return fail(ErrorKind::corrupt,
                "this is no whole deflate stream (zlib code " + std::to_string(result) + ")");
  return Inflated{.plain = plain.take(), .coded_size = coded.size() - left};
}

Status deflate_pieces(const NextPiece& next, DeflateShape shape, const TakePiece& take) {
  z_stream stream{};
  LAMINA_ASSERT(deflateInit2(&stream, shape.level, Z_DEFLATED, kRawWindowBits, shape.memory_level,
                             Z_DEFAULT_STRATEGY) == Z_OK);
  std::array<std::byte, 64 * 1024> coded;
  ByteView left;
  bool is_end = false;
  Status done = Done{};
  for (int result = Z_OK; done && result != Z_STREAM_END;) {
    if (left.empty() && !is_end) {
      auto piece = next();
      if (!piece) {
        done = fail(std::move(piece.error()));
        break;
      }
      left = *piece;
      is_end = left.empty();
    }
    const uInt given = piece_of(left.size());
    stream.next_in = input(left);
    stream.avail_in = given;
    stream.next_out = reinterpret_cast<Bytef*>(coded.data());
    stream.avail_out = coded.size();
    result = deflate(&stream, is_end ? Z_FINISH : Z_NO_FLUSH);
    LAMINA_ASSERT(result == Z_OK || result == Z_STREAM_END);
    left = left.subspan(given - stream.avail_in);
    done = take(ByteView(coded).first(coded.size() - stream.avail_out));
  }
  deflateEnd(&stream);
  return done;
}

Buffer deflate_bytes(ByteView plain, DeflateShape shape) {
  Buffer coded;
  LAMINA_ASSERT(deflate_pieces(pieces_of(plain), shape, append_to(coded)));
  return coded;
}

bool deflates_to(ByteView plain, DeflateShape shape, ByteView coded) {
  Comparison same(coded);
  return deflate_pieces(pieces_of(plain), shape, same.take()) && same.is_whole();
}

std::string deflate_version() { return zlibVersion(); }

std::uint32_t crc32_of(ByteView bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, input(bytes), bytes.size()));
}

}  // namespace lamina
