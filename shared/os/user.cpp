#include "shared/os/user.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "shared/base/bytes.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::os {

Result<User> find_user(const std::string& name) {
  std::vector<char> buffer(16 * 1024);
  passwd entry{};
  passwd* found = nullptr;
  const int code = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (code != 0) return fail(from_errno(code, "looking up user " + printable(name)));
  if (found == nullptr)
    return fail(ErrorKind::not_found,
                "there is no user '" + printable(name) + "' on this machine: create it first");
  return User{entry.pw_uid, entry.pw_gid, name};
}

Status become(const User& user) {
  const std::string doing = "becoming user " + printable(user.name);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(last_error(doing));
  if (getuid() == user.uid && geteuid() == user.uid && user.uid != 0) return Done{};
  if (setgroups(0, nullptr) != 0 || setresgid(user.gid, user.gid, user.gid) != 0 ||
      setresuid(user.uid, user.uid, user.uid) != 0)
    return fail(last_error(doing));
  if (user.uid != 0 && setuid(0) == 0)
    return fail(ErrorKind::refused, doing + ": root could be taken back");
  return Done{};
}

Status check_owner(const std::string& path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) return fail(last_error("looking at " + printable(path)));
  if (facts.st_uid == geteuid()) return Done{};
  const passwd* owner = getpwuid(facts.st_uid);
  const std::string name =
      owner != nullptr ? std::string(owner->pw_name) : '#' + std::to_string(facts.st_uid);
  return fail(ErrorKind::refused, printable(path) + " belongs to " + name +
                                      ": begin the command with `runuser -u " + name + " --`");
}

bool is_root() { return geteuid() == 0; }

Result<std::uint64_t> peak_memory() {
  auto status = read_text("/proc/self/status", 1 << 16);
  if (!status) return fail(std::move(status.error()));
  const std::size_t at = status->find("VmHWM:");
  unsigned long long kilobytes = 0;
  if (at == std::string::npos || std::sscanf(status->c_str() + at, "VmHWM: %llu", &kilobytes) != 1)
    return fail(ErrorKind::unavailable, "/proc/self/status has no VmHWM");
  return kilobytes * 1024;
}

Result<std::uint64_t> raise_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail(last_error("reading RLIMIT_NOFILE"));
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail(last_error("raising RLIMIT_NOFILE"));
  return limit.rlim_cur;
}

}  // namespace lamina::os
