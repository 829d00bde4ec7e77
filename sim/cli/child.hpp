// A program that a command starts and waits for. One thread.
#pragma once

#include <string>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina::sim {

// Runs `words` (the program is looked up in PATH) with this process's stdout and stderr; its exit
// code, or 128 and the number of the signal that ended it. `not_found` when there is none.
Result<int> run_child(const std::vector<std::string>& words);

}  // namespace lamina::sim
