#include "shared/cli/exit_code.hpp"

namespace lamina::cli {

ExitCode exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::not_found: return not_found;
    case ErrorKind::corrupt: return corrupt;
    case ErrorKind::unavailable: return unavailable;
    case ErrorKind::out_of_space: return out_of_space;
    case ErrorKind::invalid: return usage;
    case ErrorKind::refused: return refused;
  }
  return failed;
}

std::string_view exit_code_help() {
  return "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 unavailable (try again), 5 refused,\n"
         "6 corrupt, 7 out of space.";
}

}  // namespace lamina::cli
