// Programs of this machine in a tree that is run as a system.
#pragma once

#include <cstdio>
#include <string>

#include "shared/os/user.hpp"
#include "tests/shared/tree/trees.hpp"

namespace lamina::tests {

// The shell of this machine with what it needs, into a tree that scripts run in.
inline bool put_shell(const std::string& tree) {
  if (!os::is_root()) {
    WARN("skipped: only root runs scripts in another root");
    return false;
  }
  FILE* needs = popen("ldd /bin/sh | grep -o '/[^ ]*'; echo /bin/sh", "r");
  REQUIRE(needs != nullptr);
  char line[4096];
  while (fgets(line, sizeof line, needs) != nullptr) {
    std::string path(line);
    while (!path.empty() && path.back() == '\n') path.pop_back();
    REQUIRE(os::make_directories(tree + path.substr(0, path.rfind('/'))));
    make_file(tree + path, os::read_file(path, std::size_t{64} << 20).value(), 0755);
  }
  REQUIRE(pclose(needs) == 0);
  return true;
}

}  // namespace lamina::tests
