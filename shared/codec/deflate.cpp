#include "shared/codec/deflate.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "shared/base/assert.hpp"

namespace lamina {
namespace {

constexpr std::size_t kPiece = 256 * 1024;
constexpr int kRawWindowBits = -15;  // Negative: no zlib header; see zlib.h, deflateInit2.

// zlib does not write to its input, but says so only where ZLIB_CONST is set.
Bytef* input(ByteView bytes) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
}
uInt piece_of(std::size_t size) {
  return static_cast<uInt>(std::min<std::size_t>(size, std::numeric_limits<uInt>::max()));
}

// Gives the deflated bytes to `take` piece by piece until it returns false.
void deflate_pieces(ByteView plain, DeflateShape shape, const std::function<bool(ByteView)>& take) {
  z_stream stream{};
  LAMINA_ASSERT(deflateInit2(&stream, shape.level, Z_DEFLATED, kRawWindowBits, shape.memory_level,
                             Z_DEFAULT_STRATEGY) == Z_OK);
  std::array<std::byte, 64 * 1024> piece;
  stream.next_in = input(plain);
  std::size_t left = plain.size();
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    const uInt given = piece_of(left);
    stream.avail_in = given;
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = piece.size();
    result = deflate(&stream, given == left ? Z_FINISH : Z_NO_FLUSH);
    LAMINA_ASSERT(result == Z_OK || result == Z_STREAM_END);
    left -= given - stream.avail_in;
    if (!take(ByteView(piece).first(piece.size() - stream.avail_out))) break;
  }
  deflateEnd(&stream);
}

}  // namespace

Result<Inflated> inflate_bytes(ByteView coded, std::size_t plain_max) {
  z_stream stream{};
  LAMINA_ASSERT(inflateInit2(&stream, kRawWindowBits) == Z_OK);
  Inflated inflated;
  stream.next_in = input(coded);
  std::size_t left = coded.size();
  int result = Z_OK;
  while (result == Z_OK) {
    const std::size_t have = inflated.plain.size();
    // One byte more than allowed shows that there is more.
    const std::size_t room = std::min(kPiece, plain_max - have + 1);
    inflated.plain.resize(have + room);
    const uInt given = piece_of(left);
    stream.avail_in = given;
    stream.next_out = reinterpret_cast<Bytef*>(inflated.plain.data() + have);
    stream.avail_out = piece_of(room);
    result = inflate(&stream, Z_NO_FLUSH);
    left -= given - stream.avail_in;
    inflated.plain.resize(have + room - stream.avail_out);
    if (inflated.plain.size() > plain_max) break;
  }
  inflateEnd(&stream);
  if (inflated.plain.size() > plain_max)
    return fail(ErrorKind::invalid,
                "deflated data holds more than " + std::to_string(plain_max) + " bytes");
  if (result != Z_STREAM_END)
    return fail(ErrorKind::corrupt,
                "this is no whole deflate stream (zlib code " + std::to_string(result) + ")");
  inflated.coded_size = coded.size() - left;
  return inflated;
}

Buffer deflate_bytes(ByteView plain, DeflateShape shape) {
  Buffer coded;
  deflate_pieces(plain, shape, [&](ByteView piece) {
    coded.insert(coded.end(), piece.begin(), piece.end());
    return true;
  });
  return coded;
}

bool deflates_to(ByteView plain, DeflateShape shape, ByteView coded) {
  bool is_same = true;
  deflate_pieces(plain, shape, [&](ByteView piece) {
    is_same = piece.size() <= coded.size() && std::equal(piece.begin(), piece.end(), coded.begin());
    if (is_same) coded = coded.subspan(piece.size());
    return is_same;
  });
  return is_same && coded.empty();
}

std::string deflate_version() { return zlibVersion(); }

std::uint32_t crc32_of(ByteView bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, input(bytes), bytes.size()));
}

}  // namespace lamina
