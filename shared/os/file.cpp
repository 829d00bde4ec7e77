#include "shared/os/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "shared/os/errno.hpp"
#include "shared/os/inodes.hpp"

namespace lamina::os {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

Status remove_beneath(int parent, const char* name, const std::string& shown) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return Done{};
  if (errno != EISDIR && errno != EPERM) return fail(last_error("removing " + shown));
  const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail(last_error("removing " + shown));
  const std::unique_ptr<DIR, CloseDirectory> directory(fdopendir(fd));
  if (!directory) return fail(last_error("removing " + shown));
  while (const dirent* entry = readdir(directory.get())) {
    const std::string child = entry->d_name;
    if (child == "." || child == "..") continue;
    if (auto done = remove_beneath(fd, child.c_str(), shown + '/' + printable(child)); !done)
      return done;
  }
  if (unlinkat(parent, name, AT_REMOVEDIR) != 0) return fail(last_error("removing " + shown));
  return Done{};
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int Descriptor::release() { return std::exchange(fd_, -1); }

Result<Descriptor> open_read(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) return fail(last_error("opening " + printable(path)));
  return file;
}

Result<Descriptor> open_write(const std::string& path, mode_t mode) {
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!file.is_open()) return fail(last_error("creating " + printable(path)));
  return file;
}

Status write_all(int fd, ByteView bytes, const std::string& what) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(last_error("writing " + printable(what)));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return Done{};
}

Status write_all_at(int fd, ByteView bytes, std::uint64_t offset, const std::string& what) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(last_error("writing " + printable(what)));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return Done{};
}

Result<Buffer> read_at(int fd, std::uint64_t offset, std::size_t size, const std::string& what) {
  Buffer bytes(size);
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, bytes.data() + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(last_error("reading " + printable(what)));
    if (n == 0)
      return fail(ErrorKind::corrupt, printable(what) + " ends at byte " +
                                          std::to_string(offset + got) +
                                          ", before what it must hold");
    got += static_cast<std::size_t>(n);
  }
  return bytes;
}

Result<std::size_t> read_some(int fd, std::span<std::byte> into, const std::string& what) {
  for (;;) {
    const ssize_t n = ::read(fd, into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) return fail(last_error("reading " + printable(what)));
  }
}

Result<Buffer> read_up_to(int fd, std::size_t most, const std::string& what) {
  Buffer bytes(most);
  std::size_t have = 0;
  while (have < most) {
    auto count = read_some(fd, std::span(bytes).subspan(have), what);
    if (!count) return fail(std::move(count.error()));
    if (*count == 0) break;
    have += *count;
  }
  bytes.resize(have);
  return bytes;
}

Result<std::uint64_t> file_size(int fd, const std::string& what) {
  struct stat facts {};
  if (fstat(fd, &facts) != 0) return fail(last_error("looking at " + printable(what)));
  return static_cast<std::uint64_t>(facts.st_size);
}

Result<Buffer> read_file(const std::string& path, std::size_t limit) {
  auto file = open_read(path);
  if (!file) return fail(std::move(file.error()));
  Buffer bytes;
  std::vector<std::byte> piece(64 * 1024);
  for (;;) {
    auto n = read_some(file->get(), piece, path);
    if (!n) return fail(std::move(n.error()));
    if (*n == 0) return bytes;
    if (bytes.size() + *n > limit)
      return fail(ErrorKind::invalid, printable(path) + " is larger than " +
                                          to_text(Bytes{static_cast<std::int64_t>(limit)}));
    bytes.insert(bytes.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*n));
  }
}

Result<std::string> read_text(const std::string& path, std::size_t limit) {
  auto bytes = read_file(path, limit);
  if (!bytes) return fail(std::move(bytes.error()));
  return std::string(as_text(*bytes));
}

Status write_file(const std::string& path, ByteView bytes, mode_t mode) {
  std::string temporary = path + ".tmp-XXXXXX";
  Descriptor file(mkostemp(temporary.data(), O_CLOEXEC));
  if (!file.is_open()) return fail(last_error("creating " + printable(temporary)));
  auto done = write_all(file.get(), bytes, path);
  if (done && fchmod(file.get(), mode) != 0) done = fail(last_error("writing " + printable(path)));
  if (done) done = sync_data(file.get(), path);
  if (done) done = rename_file(temporary, path);
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return sync_directory(directory_of(path));
}

void forget_cached(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.is_open()) static_cast<void>(posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED));
}

Status sync_data(int fd, const std::string& what) {
  if (fdatasync(fd) != 0) return fail(last_error("syncing " + printable(what)));
  return Done{};
}

Status sync_directory(const std::string& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open() || fsync(directory.get()) != 0)
    return fail(last_error("syncing directory " + printable(path)));
  return Done{};
}

Status sync_filesystem_of(int fd, const std::string& what) {
  if (syncfs(fd) != 0) return fail(last_error("syncing the file system of " + printable(what)));
  return Done{};
}

Status make_directories(const std::string& path, mode_t mode) {
  for (std::size_t at = 0; at != std::string::npos;) {
    at = path.find('/', at + 1);
    const std::string head = path.substr(0, at);
    if (head.empty()) continue;
    if (mkdir(head.c_str(), mode) == 0) {
      if (auto done = sync_directory(directory_of(head)); !done) return done;
      continue;
    }
    struct stat facts {};
    if (errno == EEXIST && stat(head.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode)) continue;
    if (errno == EEXIST) errno = ENOTDIR;
    return fail(last_error("making directory " + printable(head)));
  }
  return Done{};
}

Status rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    return fail(last_error("renaming " + printable(from) + " to " + printable(to)));
  return Done{};
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0) return fail(last_error("removing " + printable(path)));
  return Done{};
}

Status remove_tree(const std::string& path) {
  return remove_beneath(AT_FDCWD, path.c_str(), printable(path));
}

bool exists(const std::string& path) {
  struct stat facts {};
  return lstat(path.c_str(), &facts) == 0;
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  auto listed = list_inodes(path);
  if (!listed) return fail(std::move(listed.error()));
  std::vector<std::string> names;
  names.reserve(listed->size());
  for (NamedInode& one : *listed) names.push_back(std::move(one.name));
  return names;
}

Result<Space> space_of(const std::string& path) {
  struct statvfs facts {};
  if (statvfs(path.c_str(), &facts) != 0)
    return fail(last_error("asking for the free space of " + printable(path)));
  const auto unit = static_cast<std::int64_t>(facts.f_frsize);
  return Space{.free = {static_cast<std::int64_t>(facts.f_bavail) * unit},
               .total = {static_cast<std::int64_t>(facts.f_blocks) * unit}};
}

Result<TemporaryDirectory> TemporaryDirectory::make(const std::string& parent,
                                                    const std::string& prefix) {
  std::string path = parent + '/' + prefix + "XXXXXX";
  if (mkdtemp(path.data()) == nullptr)
    return fail(last_error("making a temporary directory in " + printable(parent)));
  return TemporaryDirectory(std::move(path));
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryDirectory::~TemporaryDirectory() {
  // Nobody is left to tell; what stays behind is in a directory for temporary files.
  if (!path_.empty()) static_cast<void>(remove_tree(path_));
}

TemporaryFile::~TemporaryFile() {
  // Usually moved away by then; and nobody is left to tell.
  static_cast<void>(remove_file(path_));
}

std::string temporary_root() {
  const char* configured = std::getenv("TMPDIR");
  return configured != nullptr && *configured != '\0' ? configured : "/tmp";
}

}  // namespace lamina::os
