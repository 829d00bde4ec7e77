// LZMA2 data as xz(1) makes it: reading it, and making the very same bytes again.
//
// What lies around it in an xz file (headers, check, index) is small and says nothing of how the
// data was made: whoever opens a file keeps it as it is. liblzma's output for the same shape has
// been the same in all releases since 5.2 (m: 5.4.1 makes all 4,229 modules of a Debian release
// again that 5.8.1 made); the caller checks it all the same. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shared/base/pieces.hpp"

namespace lamina {

struct Lzma2Shape {
  std::uint8_t preset = 6;            // 0 to 9, of xz(1).
  bool is_extreme = false;            // Its -e.
  bool has_x86 = false;               // Through the filter for x86 code first.
  std::uint8_t dictionary_code = 22;  // As in the file: xz-file-format.txt, 5.3.1. 22 is 8 MiB.
  bool operator==(const Lzma2Shape&) const = default;
};
// Larger dictionaries are those of no preset (xz-file-format.txt: 64 MiB).
constexpr std::uint8_t kDictionaryCodeMax = 28;
// Bytes that making `plain_size` bytes again takes, roughly, besides them.
std::uint64_t lzma2_memory(const Lzma2Shape& shape, std::uint64_t plain_size);

// Where the data of an xz file lies.
struct XzHeader {
  std::size_t data = 0;  // Its offset; before it are the file's header and the block's.
  Lzma2Shape shape;      // But the preset, which no file says.
};
// Nothing unless `file` begins as an xz file does whose first block is LZMA2, with or without the
// filter for x86 code.
std::optional<XzHeader> xz_header(ByteView file);

struct Lzma2Plain {
  Buffer plain;
  std::size_t coded_size = 0;  // Of the bytes given: what is behind them is not LZMA2's.
};
// Decodes what `coded` begins with. `corrupt` unless that is whole LZMA2 data; `invalid` when it
// holds more than `plain_max` bytes, of which no more memory is taken.
Result<Lzma2Plain> lzma2_decode_any(ByteView coded, const Lzma2Shape& shape, std::size_t plain_max);

// Gives the LZMA2 data of what `next` gives: how that is cut makes no difference. Errors are those
// of `next` and of `take`.
Status lzma2_pieces(const NextPiece& next, const Lzma2Shape& shape, const TakePiece& take);
Buffer lzma2_bytes(ByteView plain, const Lzma2Shape& shape);
// Whether lzma2_bytes() gives exactly `coded`; gives up at the first difference.
bool lzma2_codes_to(ByteView plain, const Lzma2Shape& shape, ByteView coded);

// The version of the library that runs: "5.4.1".
std::string lzma_version();

}  // namespace lamina
