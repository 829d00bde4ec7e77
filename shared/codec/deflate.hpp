// Deflate (RFC 1951) as zlib makes it: inflating, and making the very same bytes again.
//
// Who knows the level and memory level that made some deflated bytes can send what is inside
// instead. zlib's output for a level has been the same in every release since 1.2.5.1 (m: 1.2.13
// and 1.3.1 on all gzip files of two Debian releases); the caller checks it all the same. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <string>

#include "shared/base/pieces.hpp"

namespace lamina {

struct DeflateShape {
  std::uint8_t level = 9;         // 1 to 9.
  std::uint8_t memory_level = 8;  // 1 to 9; 8 is what programs get that do not ask.
  bool operator==(const DeflateShape&) const = default;
};

struct Inflated {
  Buffer plain;
  std::size_t coded_size = 0;  // Of the bytes given: what is behind them is not deflate's.
};
// `corrupt` unless the bytes begin with a whole deflate stream; `invalid` when it holds more than
// `plain_max` bytes, of which no more memory is taken.
Result<Inflated> inflate_bytes(ByteView coded, std::size_t plain_max);

// Gives the deflated bytes of what `next` gives: how that is cut makes no difference. Errors are
// those of `next` and of `take`.
Status deflate_pieces(const NextPiece& next, DeflateShape shape, const TakePiece& take);
Buffer deflate_bytes(ByteView plain, DeflateShape shape);
// Whether deflate_bytes() gives exactly `coded`; gives up at the first difference.
bool deflates_to(ByteView plain, DeflateShape shape, ByteView coded);

// The version of the library that runs: "1.2.13".
std::string deflate_version();

// CRC-32 of ISO 3309, as gzip and zip use it.
std::uint32_t crc32_of(ByteView bytes);

}  // namespace lamina
