#include "shared/os/filter.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::os {
namespace {

Result<Descriptor> memory_file(const std::string& what) {
  Descriptor file(::memfd_create(what.c_str(), MFD_CLOEXEC));
  if (file.get() < 0) return fail(last_error("making memory for " + what));
  return file;
}

}  // namespace

Result<Buffer> run_filter(const std::vector<std::string>& words, ByteView input,
                          std::size_t output_max) {
  const std::string& name = words.front();
  // Files instead of pipes: neither side waits for the other.
  auto in = memory_file(name + " input");
  if (!in) return fail(std::move(in.error()));
  auto out = memory_file(name + " output");
  if (!out) return fail(std::move(out.error()));
  if (auto written = write_all_at(in->get(), input, 0, name + " input"); !written)
    return fail(std::move(written.error()));

  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  // Nothing of the caller's surroundings changes what the program does.
  char path[] = "PATH=/usr/bin:/bin";
  char locale[] = "LC_ALL=C";
  char* const environment[] = {path, locale, nullptr};
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
  int state = 0;
  while (::waitpid(child, &state, 0) < 0)
    if (errno != EINTR) return fail(last_error("waiting for " + name));
  if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
    return fail(
        ErrorKind::unavailable,
        name + (WIFEXITED(state) ? " ended with code " + std::to_string(WEXITSTATUS(state))
                                 : " was ended by signal " + std::to_string(WTERMSIG(state))));
  const auto size = file_size(out->get(), name + " output");
  if (!size) return fail(size.error());
  if (*size > output_max)
    return fail(ErrorKind::invalid, name + " wrote " + std::to_string(*size) + " bytes; at most " +
                                        std::to_string(output_max) + " were expected");
  return read_at(out->get(), 0, static_cast<std::size_t>(*size), name + " output");
}

}  // namespace lamina::os
