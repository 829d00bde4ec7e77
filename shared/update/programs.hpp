// The machine's own programs that containers are closed with again. Any thread.
#pragma once

#include "shared/delta/recompress.hpp"

namespace lamina::update {

// gzip(1), run without a shell or environment, and ended when it takes too long, with its version:
// without one such containers stay closed. What it writes is the caller's to compare.
delta::Programs machine_programs();

}  // namespace lamina::update
