// gzip(1) of this machine, whose deflate data no library makes. Blocks the caller. Any thread.
#pragma once

#include <optional>
#include <string>

#include "shared/base/bytes.hpp"

namespace lamina::os {

// "1.12"; nothing when the machine has no gzip(1), or one that does not say its version as GNU's.
std::optional<std::string> gzip_version();

// What `gzip -LEVEL -n` writes for `plain`, a whole gzip file; errors of run_filter().
Result<Buffer> gzip(ByteView plain, int level);

}  // namespace lamina::os
