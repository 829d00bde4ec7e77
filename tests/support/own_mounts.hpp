// A piece of a test that mounts things: in a child of its own, whose mounts live and die with it.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

namespace lamina::tests {

inline bool bind_mount(const std::string& from, const std::string& to) {
  return mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0;
}
inline bool mount_tmpfs(const std::string& at) {
  return mount("tmpfs", at.c_str(), "tmpfs", 0, nullptr) == 0;
}

// `mounts` says whether it could mount what it needs, `holds` whether what is tested holds then; it
// makes no assertions. A warning where nothing may be mounted.
template <class Mounts, class Holds>
void check_with_mounts(const Mounts& mounts, const Holds& holds) {
  constexpr int kRefused = 77;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) ||
        !mounts())
      _exit(kRefused);
    _exit(holds() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kRefused) {
    WARN("no permission to mount: not checked");
    return;
  }
  CHECK(status == 0);
}

}  // namespace lamina::tests
