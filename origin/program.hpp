// lamina-origin: init, serve and seed. Each runs to its end and returns what the process exits
// with.
#pragma once

#include <ostream>

namespace lamina::origin {

// The whole program. What was asked for goes to `out`, one line per error to `err`.
int run_origin(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace lamina::origin
