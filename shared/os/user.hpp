// Users of this machine, and giving up root.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "shared/base/result.hpp"

namespace lamina::os {

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
};

// `not_found` when the machine has no such user.
Result<User> find_user(const std::string& name);

// Becomes `user` for good: supplementary groups dropped, no capability kept, no way back through a
// setuid program. Call it once, from the only thread. When the process already is that user and no
// other, it is no error.
Status become(const User& user);

bool is_root();

// `refused`, with the command to begin with, unless `path` belongs to the user that this process
// is.
Status check_owner(const std::string& path);

// The highest memory use of this process so far in bytes (VmHWM).
Result<std::uint64_t> peak_memory();

// Lets this process open as many files and sockets as its user may (the hard RLIMIT_NOFILE); says
// how many that is.
Result<std::uint64_t> raise_open_files();

}  // namespace lamina::os
