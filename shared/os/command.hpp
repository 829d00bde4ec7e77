// Runs a program of a tree that is a whole system: without network, for a bounded time, its output
// kept. Blocks the caller. Any thread.
#pragma once

#include <string>
#include <vector>

#include "shared/os/beneath.hpp"

namespace lamina::os {

struct CommandEnd {
  int code = 0;            // Exit code; 128 + the signal's number when a signal ended it.
  bool is_absent = false;  // The tree has no such program.
  bool is_late = false;    // It took longer than it may and was killed.
  std::string output;      // Of both streams, the first bytes.
};

struct CommandLimits {
  Duration time;
  std::size_t output = 4096;  // What is beyond is read and thrown away.
  // "NAME=value", beside PATH, HOME, LC_ALL and DEBIAN_FRONTEND.
  std::vector<std::string> environment = {};
};

// Runs `words` (a program's name and its arguments) as in `root`, which must hold all it needs; its
// processes are killed with it. `root` other than "/" takes root's rights: the program sees the
// tree as "/", and the machine's /dev and /proc in it, where it has directories for them. An error
// means that it was not started: `refused` names what this process may not do.
Result<CommandEnd> run_command(const Root& root, const std::vector<std::string>& words,
                               const CommandLimits& limits);

}  // namespace lamina::os
