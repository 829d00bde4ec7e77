// gzip(1) of this machine, whose deflate data no library makes. Blocks the caller. Any thread.
#pragma once

#include <optional>
#include <string>

#include "shared/base/pieces.hpp"

namespace lamina::os {

// "1.12"; nothing when the machine has no gzip(1), or one that does not say its version as GNU's.
std::optional<std::string> gzip_version();

// Gives what `gzip -LEVEL -n` writes for the `plain_size` bytes that `next` gives, a whole gzip
// file; errors of run_filter().
Status gzip(const NextPiece& next, std::uint64_t plain_size, int level, const TakePiece& take);

}  // namespace lamina::os
