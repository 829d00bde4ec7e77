// How every program of Lamina takes its command line, and says what came of it. Any thread.
#pragma once

#include <optional>
#include <ostream>

#include "shared/cli/exit_code.hpp"

namespace CLI {
class App;
}

namespace lamina::cli {

// Nothing: `app` has its words. Else the program ends with this code: help or the version was
// printed to `out`, or one line on `err` says what is wrong. The program's name is that of `app`.
std::optional<ExitCode> parse(CLI::App& app, int argc, const char* const* argv, std::ostream& out,
                              std::ostream& err);

// The code of `done`; an error's text goes to `err`.
ExitCode ended(const CLI::App& app, const Status& done, std::ostream& err);

}  // namespace lamina::cli
