// Runs one of the machine's programs as a filter: bytes in, bytes out, no file. Blocks the caller.
// Any thread.
#pragma once

#include <string>
#include <vector>

#include "shared/base/pieces.hpp"
#include "shared/base/units.hpp"

namespace lamina::os {

struct FilterLimits {
  std::size_t output_max = 0;  // Bytes.
  // Without a byte in or out; it is killed then.
  Duration idle_max = std::chrono::minutes{1};
};

// Gives what `words` (a program found in /usr/bin or /bin, and its arguments) writes for what
// `next` gives, in an empty environment and without a shell. `not_found`: there is no such program.
// `invalid` when it writes more than the limit, of which no more is taken; `unavailable` when it
// ends with another code than 0, is idle for too long, or cannot be started. Errors of `next` and
// `take` are passed on. However it ends, the program has ended too. It need not read everything.
Status run_filter(const std::vector<std::string>& words, const NextPiece& next,
                  const TakePiece& take, const FilterLimits& limits);

}  // namespace lamina::os
