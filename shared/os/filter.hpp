// Runs one of the machine's programs as a filter: bytes in, bytes out, no file of a lasting name.
// Blocks the caller. Any thread.
#pragma once

#include <string>
#include <vector>

#include "shared/base/bytes.hpp"

namespace lamina::os {

// What `words` (a program found in /usr/bin or /bin, and its arguments) writes for `input`.
// `not_found`: there is no such program. `invalid` when it writes more than `output_max` bytes,
// `unavailable` when it ends with another code than 0 or cannot be started.
Result<Buffer> run_filter(const std::vector<std::string>& words, ByteView input,
                          std::size_t output_max);

}  // namespace lamina::os
