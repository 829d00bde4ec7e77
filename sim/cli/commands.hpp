// The commands of lamina-sim, each in its cmd_<name>.cpp.
//
// They return the process's exit code: what was asked for is on `io.out`, one line for each thing
// that is wrong on `io.err`. One thread.
#pragma once

#include <ostream>
#include <string>

#include "shared/cli/exit_code.hpp"
#include "sim/scenario/findings.hpp"

namespace lamina::sim {

struct Io {
  std::ostream& out;
  std::ostream& err;
};

// Prints the failure and gives its exit code.
cli::ExitCode report(const Error& error, Io& io);
// Prints all findings; the exit code of a wrong scenario.
cli::ExitCode report(const Findings& findings, Io& io);

// Writes an example into a new directory.
cli::ExitCode run_init(const std::string& directory, Io& io);

struct CheckOptions {
  std::string scenario;
  bool as_json = false;
};
// Reads a scenario and says what is wrong with it.
cli::ExitCode run_check(const CheckOptions& options, Io& io);

}  // namespace lamina::sim
