#include "shared/os/command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "shared/os/clock.hpp"
#include "shared/os/errno.hpp"

namespace lamina::os {
namespace {

// What the child could not do before the program ran.
struct Failed {
  int step = 0;  // Of kSteps.
  int code = 0;  // errno
};
enum Step { kNetwork, kEnter, kExecute };
constexpr const char* kSteps[] = {"cutting it off from the network", "entering the tree",
                                  "starting it"};

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The pointers that exec takes; good as long as `words`.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Pipe {
  Descriptor read, write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(last_error("making a pipe"));
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// A service manager may have closed the way to a new network, and to sockets, and taken the old one
// away already.
bool has_only_loopback() {
  auto file = open_read("/proc/self/net/dev");
  if (!file) return false;
  auto bytes = read_up_to(file->get(), 1 << 16, "/proc/self/net/dev");
  if (!bytes) return false;
  // Two lines of headings, then "  NAME: figures" a line.
  std::string_view text = as_text(*bytes);
  for (int line = 0; !text.empty(); ++line) {
    const std::string_view here = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(here.size() + 1, text.size()));
    const std::size_t begin = std::min(here.find_first_not_of(' '), here.size());
    if (line >= 2 && !here.substr(begin).starts_with("lo:")) return false;
  }
  return true;
}

// In the child, in a mount namespace of its own. What the tree has no place for is left out.
void mount_inside(int root, const char* name, const char* type) {
  const Descriptor place(openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!place.is_open()) return;
  const std::string at = "/proc/self/fd/" + std::to_string(place.get());
  if (type != nullptr)
    static_cast<void>(mount(type, at.c_str(), type, MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
  else
    static_cast<void>(mount("/dev", at.c_str(), nullptr, MS_BIND | MS_REC, nullptr));
}

// In the child. Returns only to tell why it cannot run the program.
Failed become(int root, bool is_own_root, bool is_alone, char* const* words,
              char* const* environment) {
  if (unshare(CLONE_NEWNET) != 0 && !is_alone) return {kNetwork, errno};
  if (!is_own_root) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return {kEnter, errno};
    mount_inside(root, "dev", nullptr);
    mount_inside(root, "proc", "proc");
    if (fchdir(root) != 0 || chroot(".") != 0) return {kEnter, errno};
  }
  if (chdir("/") != 0) return {kEnter, errno};
  umask(022);
  // A program is looked for in the tree's own directories.
  setenv("PATH", kPath, 1);
  execvpe(words[0], words, environment);
  return {kExecute, errno};
}

// Reads until all writers have closed `fd` or the time is over; false: it is over.
bool read_output(int fd, const CommandLimits& limits, Instant end, std::string& output) {
  std::array<char, 4096> bytes;
  for (;;) {
    const Duration left = end - system_clock().now();
    if (left <= Duration::zero()) return false;
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    if (poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(wait, 60'000))) <= 0) continue;
    const ssize_t size = read(fd, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return true;
    output.append(bytes.data(), std::min(static_cast<std::size_t>(size),
                                         limits.output - std::min(limits.output, output.size())));
  }
}

// Waits for the child; false: the time was over, and it was killed.
bool wait_for(pid_t child, Instant end, int& status) {
  const Descriptor watched(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  bool in_time = true;
  while (in_time && watched.is_open()) {
    const Duration left = end - system_clock().now();
    pollfd ready{.fd = watched.get(), .events = POLLIN, .revents = 0};
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    if (poll(&ready, 1, static_cast<int>(std::clamp<std::int64_t>(wait, 0, 60'000))) > 0) break;
    in_time = left > Duration::zero();
  }
  // Whoever it left behind goes with it.
  kill(-child, SIGKILL);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return in_time;
}

}  // namespace

Result<CommandEnd> run_command(const Root& root, const std::vector<std::string>& words,
                               const CommandLimits& limits) {
  std::vector<std::string> copies = words;
  const std::vector<char*> arguments = pointers_to(copies);
  std::vector<std::string> variables{std::string("PATH=") + kPath, "HOME=/root", "LC_ALL=C.UTF-8",
                                     "DEBIAN_FRONTEND=noninteractive"};
  std::ranges::copy(limits.environment, std::back_inserter(variables));
  const std::vector<char*> environment = pointers_to(variables);
  auto output = make_pipe();
  if (!output) return fail(std::move(output.error()));
  auto trouble = make_pipe();
  if (!trouble) return fail(std::move(trouble.error()));
  Descriptor nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing.is_open()) return fail(last_error("opening /dev/null"));
  const bool is_own_root = root.path() == "/";
  const bool is_alone = has_only_loopback();
  const Instant end = system_clock().now() + limits.time;

  const pid_t child = fork();
  if (child < 0) return fail(last_error("starting '" + printable(words[0], 100) + "'"));
  if (child == 0) {
    setpgid(0, 0);
    dup2(nothing.get(), STDIN_FILENO);
    dup2(output->write.get(), STDOUT_FILENO);
    dup2(output->write.get(), STDERR_FILENO);
    const Failed failed =
        become(root.fd(), is_own_root, is_alone, arguments.data(), environment.data());
    static_cast<void>(write(trouble->write.get(), &failed, sizeof failed));
    _exit(127);
  }
  setpgid(child, child);  // Whichever of both comes first.
  output->write = Descriptor();
  trouble->write = Descriptor();
  CommandEnd ended;
  bool in_time = read_output(output->read.get(), limits, end, ended.output);
  int status = 0;
  in_time = wait_for(child, in_time ? end : Instant{}, status) && in_time;
  Failed failed;
  if (read(trouble->read.get(), &failed, sizeof failed) == sizeof failed) {
    ended.is_absent = failed.step == kExecute && failed.code == ENOENT;
    if (!ended.is_absent)
      return fail(from_errno(failed.code,
                             "running '" + printable(words[0], 100) + "': " + kSteps[failed.step]));
    return ended;
  }
  ended.is_late = !in_time;
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended;
}

}  // namespace lamina::os
