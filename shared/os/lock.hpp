// A lock on a file or a directory. The kernel drops it when its holder dies.
#pragma once

#include "shared/os/file.hpp"

namespace lamina::os {

class FileLock {
 public:
  // Takes the lock at `path` (made if missing) without waiting. `unavailable`, naming the holder's
  // process id, when another process has it.
  static Result<FileLock> take(const std::string& path);

  // On a directory that is there, in which nothing is written: one has it alone, or many share it.
  // Nobody waits: `unavailable` when somebody has it otherwise.
  enum class Mode { alone, shared };
  static Result<FileLock> take_directory(const std::string& path, Mode mode);
  // Shared; waits until nobody has it alone.
  static Result<FileLock> wait_to_share(const std::string& directory);

 private:
  explicit FileLock(Descriptor file) : file_(std::move(file)) {}
  Descriptor file_;
};

}  // namespace lamina::os
