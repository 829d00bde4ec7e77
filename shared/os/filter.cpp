#include "shared/os/filter.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "shared/os/errno.hpp"
#include "shared/os/file.hpp"

namespace lamina::os {
namespace {

constexpr std::size_t kPiece = 64 * 1024;  // What a pipe holds: pipe(7).

// A program that runs, with our ends of its input and output. One that still runs at the end of
// the object's life is killed.
class Child {
 public:
  static Result<Child> start(const std::vector<std::string>& words) {
    // A socket, because writing to one nobody reads need not be a signal.
    std::array<int, 2> in{}, out{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in.data()) != 0)
      return fail(last_error("making the input of " + words.front()));
    Child child;
    child.input = Descriptor(in[0]);
    const Descriptor its_input(in[1]);
    if (::pipe2(out.data(), O_CLOEXEC) != 0)
      return fail(last_error("making the output of " + words.front()));
    child.output = Descriptor(out[0]);
    const Descriptor its_output(out[1]);

    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    // Nothing of the caller's surroundings changes what the program does.
    char* const environment[] = {nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, its_input.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, its_output.get(), STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int error = ENOENT;
    for (const char* directory : {"/usr/bin/", "/bin/"})
      if (error == ENOENT)
        error = posix_spawn(&child.pid_, (directory + words.front()).c_str(), &actions, nullptr,
                            arguments.data(), environment);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) child.pid_ = 0;
    if (error == ENOENT)
      return fail(ErrorKind::not_found, "this machine has no program " + words.front());
    if (error != 0) return fail(from_errno(error, "starting " + words.front()));
    return child;
  }
  Child(Child&& other) noexcept
      : input(std::move(other.input)),
        output(std::move(other.output)),
        pid_(std::exchange(other.pid_, 0)) {}
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    static_cast<void>(reap());
  }

  // What waitpid(2) says when it has ended by itself; nothing: it did not in time.
  Result<std::optional<int>> wait(Duration time) {
    // By its number: glibc 2.36 declares the function for C only.
    const Descriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (handle.get() < 0) return fail(last_error("watching a program"));
    pollfd ends{handle.get(), POLLIN, 0};
    const int ready = ::poll(&ends, 1, milliseconds(time));
    if (ready < 0 && errno != EINTR) return fail(last_error("watching a program"));
    if (ready <= 0) return std::optional<int>();
    auto state = reap();
    if (!state) return fail(std::move(state.error()));
    return std::optional(*state);
  }

  static int milliseconds(Duration time) {
    return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
  }

  Descriptor input, output;

 private:
  Child() = default;
  Result<int> reap() {
    int state = 0;
    while (::waitpid(pid_, &state, 0) < 0)
      if (errno != EINTR) return fail(last_error("waiting for a program"));
    pid_ = 0;
    return state;
  }
  pid_t pid_ = 0;
};

}  // namespace

Status run_filter(const std::vector<std::string>& words, const NextPiece& next,
                  const TakePiece& take, const FilterLimits& limits) {
  const std::string& name = words.front();
  const auto idle = [&] {
    return fail(ErrorKind::unavailable, name + " did nothing for too long, and was killed");
  };
  auto child = Child::start(words);
  if (!child) return fail(std::move(child.error()));
  ByteView left;
  std::size_t taken = 0;
  std::array<std::byte, kPiece> piece;
  for (;;) {
    if (left.empty() && child->input.is_open()) {
      const auto more = next();
      if (!more) return fail(more.error());
      left = *more;
      if (left.empty()) child->input = Descriptor();
    }
    // poll(2) leaves out what is negative.
    std::array<pollfd, 2> ready = {
        {{child->output.get(), POLLIN, 0}, {child->input.get(), POLLOUT, 0}}};
    const int count = ::poll(ready.data(), ready.size(), Child::milliseconds(limits.idle_max));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(last_error("watching a program"));
    if (count == 0) return idle();
    if (ready[1].revents != 0) {
      const ssize_t sent =
          ::send(child->input.get(), left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0)
        left = left.subspan(static_cast<std::size_t>(sent));
      else if (errno == EPIPE || errno == ECONNRESET)
        child->input = Descriptor();  // It wants no more.
      else if (errno != EAGAIN && errno != EINTR)
        return fail(last_error("writing to " + name));
    }
    if (ready[0].revents != 0) {
      const ssize_t got = ::read(child->output.get(), piece.data(), piece.size());
      if (got < 0 && errno != EINTR) return fail(last_error("reading from " + name));
      if (got == 0) break;
      if (got < 0) continue;
      taken += static_cast<std::size_t>(got);
      if (taken > limits.output_max)
        return fail(ErrorKind::invalid, name + " wrote more than the " +
                                            std::to_string(limits.output_max) +
                                            " bytes that were expected");
      if (auto done = take(ByteView(piece).first(static_cast<std::size_t>(got))); !done)
        return done;
    }
  }
  child->input = Descriptor();
  const auto state = child->wait(limits.idle_max);
  if (!state) return fail(state.error());
  if (!*state) return idle();
  if (!WIFEXITED(**state) || WEXITSTATUS(**state) != 0)
    return fail(
        ErrorKind::unavailable,
        name + (WIFEXITED(**state) ? " ended with code " + std::to_string(WEXITSTATUS(**state))
                                   : " was ended by signal " + std::to_string(WTERMSIG(**state))));
  return Done{};
}

}  // namespace lamina::os
