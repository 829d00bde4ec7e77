// The command line of lamina-sim: init, check, run, sweep, solve, fail, compare.
#pragma once

#include <ostream>

namespace lamina::sim {

// Data on `out`, what is wrong on `err`. The exit code (shared/cli/exit_code.hpp).
int run_sim(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace lamina::sim
