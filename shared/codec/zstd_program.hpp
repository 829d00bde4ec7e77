// Zstandard frames that others made: reading them, and making them again as the program zstd(1)
// does. Pure; any thread.
#pragma once

#include <optional>
#include <string>

#include "shared/base/pieces.hpp"

namespace lamina {

// A frame as the program zstd(1) makes it. It codes with workers, whose frames are the same for any
// number of them, but others than those of one call without.
struct ZstdProgram {
  int level = 3;
  bool has_checksum = true;
  bool has_size = true;  // Of a file; from a pipe it does not know it.
};
// Gives the frame of what `next` gives, `plain_size` bytes: how that is cut makes no difference.
// `corrupt` when it is another number of bytes; other errors are those of `next` and of `take`.
Status zstd_as_program(const NextPiece& next, std::uint64_t plain_size, const ZstdProgram& program,
                       const TakePiece& take);
Buffer zstd_as_program(ByteView plain, const ZstdProgram& program);
// What the header of the frame that `coded` begins with says; nothing when there is none.
struct ZstdHeader {
  bool has_checksum = false;
  bool has_size = false;
  std::size_t coded_size = 0;  // Of the whole frame.
};
std::optional<ZstdHeader> zstd_header(ByteView coded);
// Decodes the frame that `coded` begins with, of a size that it may not say itself. `invalid` when
// it has more than `plain_max` bytes, `corrupt` when it is no whole frame.
Result<Buffer> zstd_decode_any(ByteView coded, std::size_t plain_max);
// The version of the library that runs: "1.5.4".
std::string zstd_version();

}  // namespace lamina
