// What a Lamina program says to the shell that called it. Values; any thread.
#pragma once

#include "shared/base/result.hpp"

namespace lamina::cli {

// The same for every program; part of the interface, so numbers never change.
enum ExitCode {
  ok = 0,
  failed = 1,        // None of the below.
  usage = 2,         // The command line, or a value on it, is wrong.
  not_found = 3,     // The named thing does not exist.
  unavailable = 4,   // Try again later.
  refused = 5,       // Trying again does not help.
  corrupt = 6,       // Bytes failed a check.
  out_of_space = 7,  // Make room, then try again.
};
ExitCode exit_code_of(ErrorKind kind);

// Two lines for the end of every --help.
std::string_view exit_code_help();

}  // namespace lamina::cli
