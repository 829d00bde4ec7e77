// Runs one of the machine's programs as a filter: bytes in, bytes out, no file of a lasting name.
// Blocks the caller. Any thread.
#pragma once

#include <string>
#include <vector>

#include "shared/base/bytes.hpp"
#include "shared/base/units.hpp"

namespace lamina::os {

// What `words` (a program found in /usr/bin or /bin, and its arguments) writes for `input`, in an
// empty environment and without a shell. `not_found`: there is no such program. `invalid` when it
// writes more than `output_max` bytes, of which no more are taken; `unavailable` when it ends with
// another code than 0, takes longer than `time_max` (it is killed then), or cannot be started.
Result<Buffer> run_filter(const std::vector<std::string>& words, ByteView input,
                          std::size_t output_max, Duration time_max = std::chrono::minutes{1});

}  // namespace lamina::os
