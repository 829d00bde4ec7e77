#include "shared/os/filter.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::os {
namespace {

constexpr std::size_t kLargestPage = std::size_t{2} << 20;

Result<Descriptor> memory_file(const std::string& what) {
  Descriptor file(::memfd_create(what.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (file.get() < 0) return fail(last_error("making memory for " + what));
  return file;
}

// Whether the child ended in time.
Result<bool> ends_within(pid_t child, Duration time) {
  // By its number: glibc 2.36 declares the function for C only.
  const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (handle.get() < 0) return fail(last_error("watching a program"));
  pollfd ends{handle.get(), POLLIN, 0};
  const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
  const int ready = ::poll(&ends, 1, static_cast<int>(limit));
  if (ready < 0) return fail(last_error("watching a program"));
  return ready > 0;
}

}  // namespace

Result<Buffer> run_filter(const std::vector<std::string>& words, ByteView input,
                          std::size_t output_max, Duration time_max) {
  const std::string& name = words.front();
  // Files instead of pipes: neither side waits for the other.
  auto in = memory_file(name + " input");
  if (!in) return fail(std::move(in.error()));
  auto out = memory_file(name + " output");
  if (!out) return fail(std::move(out.error()));
  if (auto written = write_all_at(in->get(), input, 0, name + " input"); !written)
    return fail(std::move(written.error()));

  // A file that cannot grow, and has room for a byte more than allowed: that shows that there is
  // more. What a write does not fit into as a whole page, huge or not, the kernel refuses.
  const std::size_t room = (output_max / kLargestPage + 1) * kLargestPage;
  if (::ftruncate(out->get(), static_cast<off_t>(room)) != 0 ||
      ::fcntl(out->get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0)
    return fail(last_error("bounding the output of " + name));

  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  // Nothing of the caller's surroundings changes what the program does.
  char* const environment[] = {nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in->get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out->get(), STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  int error = ENOENT;
  for (const char* directory : {"/usr/bin/", "/bin/"})
    if (error == ENOENT)
      error = posix_spawn(&child, (directory + name).c_str(), &actions, nullptr, arguments.data(),
                          environment);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) return fail(ErrorKind::not_found, "this machine has no program " + name);
  if (error != 0) {
    return fail(from_errno(error, "starting " + name));
  }
  const auto ended = ends_within(child, time_max);
  if (!ended || !*ended) ::kill(child, SIGKILL);
  int state = 0;
  while (::waitpid(child, &state, 0) < 0)
    if (errno != EINTR) return fail(last_error("waiting for " + name));
  if (!ended) return fail(ended.error());
  if (!*ended) return fail(ErrorKind::unavailable, name + " did not end in time, and was killed");
  // The place up to which it wrote is the descriptor's own, which it shares.
  const off_t size = ::lseek(out->get(), 0, SEEK_CUR);
  if (size < 0) return fail(last_error("reading the output of " + name));
  if (static_cast<std::size_t>(size) > output_max)
    return fail(ErrorKind::invalid, name + " wrote more than the " + std::to_string(output_max) +
                                        " bytes that were expected");
  if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
    return fail(
        ErrorKind::unavailable,
        name + (WIFEXITED(state) ? " ended with code " + std::to_string(WEXITSTATUS(state))
                                 : " was ended by signal " + std::to_string(WTERMSIG(state))));
  return read_at(out->get(), 0, static_cast<std::size_t>(size), name + " output");
}

}  // namespace lamina::os
