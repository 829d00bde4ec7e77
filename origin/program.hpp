// lamina-origin: init, serve and seed. Each runs to its end and returns what the process exits
// with.
#pragma once

#include <memory>
#include <ostream>

namespace CLI {
class App;
}

namespace lamina::origin {

// The whole program. What was asked for goes to `out`, one line per error to `err`.
int run_origin(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

// Its commands with their options, for whoever walks them: parsing a line with it runs nothing.
std::shared_ptr<CLI::App> command_tree();

}  // namespace lamina::origin
