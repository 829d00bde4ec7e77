// Descriptors and whole files. Functions are safe from any thread; a Descriptor belongs to one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/bytes.hpp"
#include "shared/base/units.hpp"

namespace lamina::os {

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  int release();

 private:
  int fd_ = -1;
};

// Does not wait for a fifo that stands in a file's place.
Result<Descriptor> open_read(const std::string& path);
// Creates or empties `path`. The mode is subject to the umask.
Result<Descriptor> open_write(const std::string& path, mode_t mode = 0600);

// All of `bytes`, at the descriptor's position or at `offset`; `what` names the file in errors.
Status write_all(int fd, ByteView bytes, const std::string& what);
Status write_all_at(int fd, ByteView bytes, std::uint64_t offset, const std::string& what);
// Exactly `size` bytes from `offset`; `corrupt` when the file ends before.
Result<Buffer> read_at(int fd, std::uint64_t offset, std::size_t size, const std::string& what);
// Up to `into.size()` bytes from the position; 0 at the end.
Result<std::size_t> read_some(int fd, std::span<std::byte> into, const std::string& what);
// As many as there are from the position on, at most `most`; fewer only at the end.
Result<Buffer> read_up_to(int fd, std::size_t most, const std::string& what);
Result<std::uint64_t> file_size(int fd, const std::string& what);

// A whole file of at most `limit` bytes; `invalid` when it is larger.
Result<Buffer> read_file(const std::string& path, std::size_t limit);
Result<std::string> read_text(const std::string& path, std::size_t limit = 1 << 20);

// Puts `bytes` at `path` so that after a crash either the old or the new content is there:
// temporary file in the same directory, fdatasync, rename, sync of the directory. The mode is set
// exactly.
Status write_file(const std::string& path, ByteView bytes, mode_t mode = 0644);

// The next reading of it comes from the disk, as far as the kernel goes along. Changes nothing.
void forget_cached(const std::string& path);

Status sync_data(int fd, const std::string& what);  // fdatasync
Status sync_directory(const std::string& path);     // fsync of a directory: names are durable.
Status sync_filesystem_of(int fd, const std::string& what);  // syncfs

// Makes `path` and missing parents, with durable names. An existing directory is no error.
Status make_directories(const std::string& path, mode_t mode = 0755);
Status rename_file(const std::string& from, const std::string& to);
Status remove_file(const std::string& path);  // Not there: not_found.
// Removes a directory and everything in it, never following a symlink. Not there: no error.
Status remove_tree(const std::string& path);
bool exists(const std::string& path);
// The names in a directory, sorted by bytes, without "." and "..".
Result<std::vector<std::string>> list_directory(const std::string& path);

struct Space {
  Bytes free;  // What an unprivileged program may still use.
  Bytes total;
};
Result<Space> space_of(const std::string& path);

// A new empty directory under `parent` with `prefix` in its name, removed with its content when the
// object dies.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> make(const std::string& parent, const std::string& prefix);
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// A file that is removed when the object dies, if it is still there by then.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The directory for temporary files: $TMPDIR or /tmp.
std::string temporary_root();

}  // namespace lamina::os
