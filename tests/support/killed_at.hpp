// A child process that dies in the middle of its work.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <string_view>

namespace lamina::tests {

// Runs `work` in a child that kills itself at step number `kill_at`; whether it was killed.
template <class Work>
bool killed_at(int kill_at, Work work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int steps = 0;
    work([&](std::string_view) {
      if (++steps == kill_at) raise(SIGKILL);
    });
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace lamina::tests
