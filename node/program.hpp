// The command line of lamina-node: enroll, run, worker, status, sync, revert.
#pragma once

#include <ostream>

namespace lamina::node {

// Data on `out`, one line per error on `err`. The exit code (shared/cli/exit_code.hpp).
int run_node(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace lamina::node
