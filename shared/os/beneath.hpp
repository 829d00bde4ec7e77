// Root: work inside a directory tree that may be hostile, without ever leaving it.
//
// Every path is resolved by the kernel beneath the root's descriptor (openat2 with RESOLVE_BENEATH,
// RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV, Linux 5.6): a symlink planted in the middle, "..", or
// another file system mounted inside is an error that names the path, never a way out. The last
// component is never followed. open_in_root() alone follows symlinks, inside the tree. A file
// system that is mounted inside belongs to the tree once it was entered, by name. One thread at a
// time per object (errors aside, all calls are atomic system calls).
#pragma once

#include <sys/stat.h>

#include "shared/os/file.hpp"

namespace lamina::os {

class Root {
 public:
  // `not_found` or `refused`, naming the path, unless it is a directory (a symlink to one is fine).
  static Result<Root> open(const std::string& path);

  const std::string& path() const { return path_; }
  int fd() const { return volumes_.front().fd.get(); }

  // What is mounted at the directory `relative` (a path, not "") belongs to the tree from now on.
  // One that another mount hides, or lies beneath, is entered after that one. False: nothing is
  // mounted there, or there is no such directory.
  Result<bool> enter(const std::string& relative);
  bool has_entered(std::string_view relative) const;
  // The place of the file system that holds what lies beneath the directory of `relative`: one that
  // was entered, or "".
  const std::string& volume_of(std::string_view relative) const;
  // By place, in the order in which they were entered; without the first one.
  std::vector<std::string> volumes() const;
  // All of them have what was written on their disks.
  Status sync() const;

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
  // Removes a non-directory, or an empty directory. Missing: not_found. Not empty: invalid. A place
  // where something is mounted: refused.
  Status remove(const std::string& relative) const;
  // rename(2) within the tree. `exchange`: both must exist and change places, atomically. `replace`
  // false: fails when `to` exists.
  enum class Rename { replace, no_replace, exchange };
  Status rename(const std::string& from, const std::string& to, Rename how) const;

 private:
  struct Volume {
    std::string place;
    Descriptor fd;
  };

  Root(std::string path, Descriptor fd) : path_(std::move(path)) {
    volumes_.push_back({"", std::move(fd)});
  }

  // As openat2(2), beneath the innermost volume that `relative` is on.
  int open_beneath(const std::string& relative, int flags, mode_t mode) const;
  const Volume& innermost(std::string_view relative) const;

  std::string path_;
  std::vector<Volume> volumes_;  // The first one is the root's own.
};

// The last component of a path, for *at calls on its parent.
std::string last_component(const std::string& path);

}  // namespace lamina::os
