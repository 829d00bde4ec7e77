// The command line of lamina-node: enroll, run, worker, status, sync, revert, snooze, cache and
// more.
#pragma once

#include <memory>
#include <ostream>

namespace CLI {
class App;
}

namespace lamina::node {

// Data on `out`, one line per error on `err`. The exit code (shared/cli/exit_code.hpp).
int run_node(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

// Its commands with their options, for whoever walks them: parsing a line with it runs nothing.
std::shared_ptr<CLI::App> command_tree();

}  // namespace lamina::node
