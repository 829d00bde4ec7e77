// Root: work inside a directory tree that may be hostile, without ever leaving it.
//
// Every path is resolved by the kernel beneath the root's descriptor (openat2 with RESOLVE_BENEATH,
// RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV, Linux 5.6): a symlink planted in the middle, "..", or
// another file system mounted inside is an error that names the path, never a way out. The last
// component is never followed. open_in_root() alone follows symlinks, inside the tree. One thread
// at a time per object (errors aside, all calls are atomic system calls).
#pragma once

#include <sys/stat.h>

#include "shared/os/file.hpp"

namespace lamina::os {

class Root {
 public:
  // `not_found` or `refused`, naming the path, unless it is a directory (a symlink to one is fine).
  static Result<Root> open(const std::string& path);

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }

  // Opens what `relative` names ("" is the root). `flags` as for open(2); O_NOFOLLOW and O_CLOEXEC
  // are added.
  Result<Descriptor> open_at(const std::string& relative, int flags, mode_t mode = 0) const;
  // The same, for reading a tree that is trusted to name its own files: symlinks are followed as if
  // this directory were "/", the last one too.
  Result<Descriptor> open_in_root(const std::string& relative, int flags) const;
  // The directory that holds `relative`, opened with O_PATH.
  Result<Descriptor> open_parent(const std::string& relative) const;

  // lstat of `relative`; nothing when it does not exist.
  Result<std::optional<struct stat>> facts(const std::string& relative) const;

  // What is in a directory, in no order, without "." and "..".
  Result<std::vector<std::string>> names_in(const std::string& relative) const;

  // Makes a directory with mode 0700; `invalid` when something is there.
  Status make_directory(const std::string& relative) const;
  // Removes a non-directory, or an empty directory. Missing: not_found. Not empty: invalid.
  Status remove(const std::string& relative) const;
  // rename(2) within the tree. `exchange`: both must exist and change places, atomically. `replace`
  // false: fails when `to` exists.
  enum class Rename { replace, no_replace, exchange };
  Status rename(const std::string& from, const std::string& to, Rename how) const;

 private:
  Root(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  Descriptor fd_;
};

// The last component of a path, for *at calls on its parent.
std::string last_component(const std::string& path);

}  // namespace lamina::os
