#include "shared/os/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "shared/os/errno.hpp"

namespace lamina::os {

Result<FileLock> FileLock::take(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.is_open()) return fail(last_error("opening lock " + printable(path)));
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(last_error("locking " + printable(path)));
    auto holder = read_text(path, 64);
    return fail(ErrorKind::unavailable,
                printable(path) + " is in use by process " +
                    (holder && !holder->empty() ? printable(*holder) : std::string("(unknown)")) +
                    ": stop it first, or use another directory");
  }
  const std::string pid = std::to_string(getpid());
  if (ftruncate(file.get(), 0) != 0) return fail(last_error("writing lock " + printable(path)));
  if (auto done = write_all_at(file.get(), as_view(pid), 0, path); !done)
    return fail(std::move(done.error()));
  return FileLock(std::move(file));
}

Result<FileLock> FileLock::take_directory(const std::string& path, Mode mode) {
  auto directory = open_read(path);
  if (!directory) return fail(std::move(directory.error()));
  if (flock(directory->get(), (mode == Mode::alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail(last_error("locking " + printable(path)));
    return fail(ErrorKind::unavailable, printable(path) + " is in use by another process");
  }
  return FileLock(std::move(*directory));
}

Result<FileLock> FileLock::wait_to_share(const std::string& path) {
  auto directory = open_read(path);
  if (!directory) return fail(std::move(directory.error()));
  while (flock(directory->get(), LOCK_SH) != 0)
    if (errno != EINTR) return fail(last_error("locking " + printable(path)));
  return FileLock(std::move(*directory));
}

}  // namespace lamina::os
