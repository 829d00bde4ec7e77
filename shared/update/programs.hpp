// The machine's own programs that containers are closed with again. Any thread.
#pragma once

#include "shared/delta/recompress.hpp"

namespace lamina::update {

// gzip(1) of /usr/bin or /bin, run without a shell or environment, and ended after a minute. What
// it writes is the caller's to compare.
delta::Programs machine_programs();

}  // namespace lamina::update
