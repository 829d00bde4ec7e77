// The command line of lamina-sim: init, check, run, sweep, solve, fail, compare.
#pragma once

#include <memory>
#include <ostream>

namespace CLI {
class App;
}

namespace lamina::sim {

// Data on `out`, what is wrong on `err`. The exit code (shared/cli/exit_code.hpp).
int run_sim(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

// Its commands with their options, for whoever walks them: parsing a line with it runs nothing.
std::shared_ptr<CLI::App> command_tree();

}  // namespace lamina::sim
