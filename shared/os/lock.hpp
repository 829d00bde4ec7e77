// A lock file: one process at a time. The kernel drops the lock when its holder dies.
#pragma once

#include "shared/os/file.hpp"

namespace lamina::os {

class FileLock {
 public:
  // Takes the lock at `path` (made if missing) without waiting. `unavailable`, naming the holder's
  // process id, when another process has it.
  static Result<FileLock> take(const std::string& path);

 private:
  explicit FileLock(Descriptor file) : file_(std::move(file)) {}
  Descriptor file_;
};

}  // namespace lamina::os
