// The calls that change files, before those of the C library: see disk_log.hpp. They cover what
// Lamina's programs, LMDB and the C++ library call; disk_test.cpp compares a log with what it led
// to. The names that this file defines must not be redirected to others:
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#ifndef _LARGEFILE64_SOURCE
#define _LARGEFILE64_SOURCE
#endif

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "tests/support/disk/disk_log.hpp"

namespace {

// The C library's own.
template <class Function>
Function* next(const char* name) {
  auto* found = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
  if (found == nullptr) std::abort();
  return found;
}

using Identity = std::pair<dev_t, ino64_t>;

bool stat_of(int directory, const char* path, int flags, struct stat64& facts) {
  static auto* const real = next<decltype(fstatat64)>("fstatat64");
  return real(directory, path, &facts, flags) == 0;
}
bool stat_of(int fd, struct stat64& facts) { return stat_of(fd, "", AT_EMPTY_PATH, facts); }

Identity identity_of(const struct stat64& facts) { return {facts.st_dev, facts.st_ino}; }

}  // namespace

namespace lamina::tests {

using disk::Node;
using disk::NodeFacts;
using disk::Operation;
using Kind = Operation::Kind;

struct DiskLog::State {
  struct Place {
    Node directory;
    std::string name;
  };

  mutable std::mutex mutex;
  disk::History history;
  std::map<Identity, Node> known;
  std::vector<std::string> paths;  // Of each node, as it was last known.
  std::optional<DiskFault> fault;
  std::size_t failures = 0;

  std::optional<Node> node_of(const struct stat64& facts) const {
    const auto found = known.find(identity_of(facts));
    return found == known.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<Node> node_of(int fd) const {
    struct stat64 facts {};
    return stat_of(fd, facts) ? node_of(facts) : std::nullopt;
  }
  std::optional<Node> node_at(int directory, const char* path, int flags) const {
    struct stat64 facts {};
    return stat_of(directory, path, flags, facts) ? node_of(facts) : std::nullopt;
  }
  std::optional<Place> place_of(int directory, const char* path) const {
    std::string text(path);
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    const std::size_t slash = text.rfind('/');
    const std::string parent = slash == std::string::npos ? "."
                               : slash == 0               ? "/"
                                                          : text.substr(0, slash);
    const auto node = node_at(directory, parent.c_str(), 0);
    if (!node) return std::nullopt;
    return Place{*node, slash == std::string::npos ? text : text.substr(slash + 1)};
  }
  std::string path_of(const Place& place) const {
    const std::string& parent = paths[place.directory];
    return parent.empty() ? place.name : parent + '/' + place.name;
  }

  // Whether something goes wrong now; then errno says what.
  bool goes_wrong(bool takes_space, bool writes_over = false) {
    if (!fault || history.operations.size() < fault->at) return false;
    switch (fault->kind) {
      case DiskFault::Kind::kill: raise(SIGKILL); return true;
      case DiskFault::Kind::input_output:
        fault.reset();
        errno = EIO;
        break;
      case DiskFault::Kind::full:
      case DiskFault::Kind::full_copies:
        if (!takes_space && !(writes_over && fault->kind == DiskFault::Kind::full_copies))
          return false;
        errno = ENOSPC;
        break;
      case DiskFault::Kind::short_write: return false;
    }
    ++failures;
    return true;
  }
  bool is_short() {
    if (!fault || fault->kind != DiskFault::Kind::short_write ||
        history.operations.size() < fault->at)
      return false;
    fault.reset();
    ++failures;
    return true;
  }

  Operation& add(Kind kind, Node node) {
    Operation& operation = history.operations.emplace_back();
    operation.kind = kind;
    operation.node = node;
    operation.path = paths[node];
    return operation;
  }
  Operation& add_name(Kind kind, const Place& place) {
    Operation& operation = history.operations.emplace_back();
    operation.kind = kind;
    operation.directory = place.directory;
    operation.name = place.name;
    operation.path = path_of(place);
    return operation;
  }
  void changed_metadata(Node node, const std::string& path, bool follow) {
    add(Kind::metadata, node).metadata = metadata_of(path, follow);
  }
  static disk::Metadata metadata_of(const std::string& path, bool follow);
  // Something was made there.
  void made(const Place& place, int directory, const char* path);
  Node learn(const struct stat64& facts, const std::string& real_path, const std::string& path);
  void learn_directory(Node node, const std::string& real_path);
};

namespace {

std::atomic<DiskLog::State*> active{nullptr};
std::atomic<int> not_waiting{0};
std::map<Identity, std::uint64_t> old_inodes;

// For a path relative to a directory's descriptor.
std::string real_path(int directory, const char* path) {
  if (directory == AT_FDCWD || *path == '/') return path;
  return "/proc/self/fd/" + std::to_string(directory) + '/' + path;
}

// A write to `fd`, at `offset` or at the position.
template <class Call>
ssize_t written(int fd, const void* data, std::size_t size, std::optional<off64_t> offset,
                const Call& call) {
  DiskLog::State* const log = active;
  if (log == nullptr || size == 0) return call(size);
  const std::lock_guard lock(log->mutex);
  struct stat64 facts {};
  const auto node = stat_of(fd, facts) ? log->node_of(facts) : std::nullopt;
  if (!node) return call(size);
  const int flags = fcntl(fd, F_GETFL);
  const auto at = offset                    ? *offset
                  : (flags & O_APPEND) != 0 ? facts.st_size
                                            : lseek64(fd, 0, SEEK_CUR);
  if (log->goes_wrong(at + static_cast<off64_t>(size) > facts.st_size, true)) return -1;
  if (log->is_short() && size > 1) size /= 2;
  const ssize_t done = call(size);
  if (done <= 0) return done;
  Operation& operation = log->add(Kind::write, *node);
  operation.offset = static_cast<std::uint64_t>(at);
  operation.bytes =
      to_buffer(std::string_view(static_cast<const char*>(data), static_cast<std::size_t>(done)));
  operation.is_through = (flags & O_DSYNC) != 0;
  return done;
}

ssize_t written(int fd, const iovec* parts, int count, std::optional<off64_t> offset) {
  std::string all;
  for (int i = 0; i < count; ++i)
    all.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  return offset ? pwrite64(fd, all.data(), all.size(), *offset) : write(fd, all.data(), all.size());
}

template <class Call>
int synced(int fd, const Call& call, bool is_all = false) {
  DiskLog::State* const log = active;
  if (log == nullptr) return not_waiting > 0 ? 0 : call();
  const std::lock_guard lock(log->mutex);
  const auto node = log->node_of(fd);
  if (!node) return call();
  if (log->goes_wrong(false)) {
    const int code = errno;
    log->add(Kind::sync_failed, *node);
    errno = code;
    return -1;
  }
  // The log says what is durable; to wait for the real disk as well would only take time.
  log->add(is_all ? Kind::sync_all : Kind::sync, *node);
  return 0;
}

// A change of a file's size.
template <class Call>
int resized(int fd, off64_t size, const Call& call) {
  DiskLog::State* const log = active;
  if (log == nullptr) return call();
  const std::lock_guard lock(log->mutex);
  struct stat64 facts {};
  const auto node = stat_of(fd, facts) ? log->node_of(facts) : std::nullopt;
  if (!node) return call();
  if (log->goes_wrong(false)) return -1;
  const int done = call();
  if (done == 0 && size != facts.st_size)
    log->add(Kind::resize, *node).offset = static_cast<std::uint64_t>(size);
  return done;
}

// Something is made at a path: a directory, a link...
template <class Call>
int made(int directory, const char* path, const Call& call) {
  DiskLog::State* const log = active;
  if (log == nullptr) return call();
  const std::lock_guard lock(log->mutex);
  const auto place = log->place_of(directory, path);
  if (!place) return call();
  if (log->goes_wrong(true)) return -1;
  const int done = call();
  // mkostemp() and mkdtemp() have put a name there meanwhile.
  if (done >= 0) log->made(*log->place_of(directory, path), directory, path);
  return done;
}

template <class Call>
int removed(int directory, const char* path, const Call& call) {
  DiskLog::State* const log = active;
  if (log == nullptr) return call();
  const std::lock_guard lock(log->mutex);
  const auto place = log->place_of(directory, path);
  if (!place) return call();
  if (log->goes_wrong(false)) return -1;
  const int done = call();
  if (done == 0) log->add_name(Kind::unname, *place);
  return done;
}

template <class Call>
int renamed(int from_directory, const char* from, int to_directory, const char* to,
            bool is_exchange, const Call& call) {
  DiskLog::State* const log = active;
  if (log == nullptr) return call();
  const std::lock_guard lock(log->mutex);
  const auto old_place = log->place_of(from_directory, from);
  const auto new_place = log->place_of(to_directory, to);
  if (!old_place && !new_place) return call();
  // What comes from elsewhere would have no history.
  if (!old_place || !new_place) std::abort();
  if (log->goes_wrong(false)) return -1;
  const auto node = log->node_at(from_directory, from, AT_SYMLINK_NOFOLLOW);
  const auto other = log->node_at(to_directory, to, AT_SYMLINK_NOFOLLOW);
  const int done = call();
  // Two names of one file: both stay.
  if (done != 0 || (node == other && node)) return done;
  Operation& operation = log->add_name(is_exchange ? Kind::exchange : Kind::rename, *old_place);
  operation.to_directory = new_place->directory;
  operation.to_name = new_place->name;
  if (node) log->paths[*node] = log->path_of(*new_place);
  if (is_exchange && other) log->paths[*other] = log->path_of(*old_place);
  return done;
}

// Owner, mode, times, attributes of what is at a path or a descriptor.
template <class Call>
int described(int directory, const char* path, bool follow, const Call& call,
              bool takes_space = false) {
  DiskLog::State* const log = active;
  if (log == nullptr) return call();
  const std::lock_guard lock(log->mutex);
  const auto node = log->node_at(directory, path, follow ? 0 : AT_SYMLINK_NOFOLLOW);
  if (!node) return call();
  if (log->goes_wrong(takes_space)) return -1;
  const int done = call();
  if (done == 0) log->changed_metadata(*node, real_path(directory, path), follow);
  return done;
}
template <class Call>
int described(int fd, const Call& call, bool takes_space = false) {
  return described(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str(), true, call,
                   takes_space);
}

template <class Call>
int opened(int directory, const char* path, std::uint64_t flags, const Call& call) {
  DiskLog::State* const log = active;
  if (log == nullptr || (flags & (O_CREAT | O_TRUNC)) == 0) return call();
  const std::lock_guard lock(log->mutex);
  const auto place = log->place_of(directory, path);
  if (!place) return call();
  struct stat64 before {};
  const bool was_there = stat_of(directory, path, AT_SYMLINK_NOFOLLOW, before);
  if (!was_there && log->goes_wrong(true)) return -1;
  const int fd = call();
  if (fd < 0) return fd;
  const auto node = log->node_of(before);
  if (!was_there)
    log->made(*place, directory, path);
  else if ((flags & O_TRUNC) != 0 && before.st_size > 0 && node)
    log->add(Kind::resize, *node).offset = 0;
  return fd;
}

}  // namespace

disk::Metadata DiskLog::State::metadata_of(const std::string& path, bool follow) {
  struct stat64 facts {};
  if (!stat_of(AT_FDCWD, path.c_str(), follow ? 0 : AT_SYMLINK_NOFOLLOW, facts))
    throw std::runtime_error("looking at " + path);
  disk::Metadata metadata{.mode = facts.st_mode & 07777U,
                          .uid = facts.st_uid,
                          .gid = facts.st_gid,
                          .mtime = facts.st_mtim,
                          .attributes = {}};
  char names[4096];
  const ssize_t size = follow ? listxattr(path.c_str(), names, sizeof names)
                              : llistxattr(path.c_str(), names, sizeof names);
  for (const char* name = names; name < names + size; name += std::strlen(name) + 1) {
    char value[4096];
    const ssize_t length = follow ? getxattr(path.c_str(), name, value, sizeof value)
                                  : lgetxattr(path.c_str(), name, value, sizeof value);
    if (length >= 0)
      metadata.attributes[name] = std::string(value, static_cast<std::size_t>(length));
  }
  return metadata;
}

Node DiskLog::State::learn(const struct stat64& facts, const std::string& at,
                           const std::string& path) {
  const auto node = static_cast<Node>(history.nodes.size());
  NodeFacts known_facts{.type = facts.st_mode & S_IFMT,
                        .inode = facts.st_ino,
                        .target = {},
                        .device = facts.st_rdev,
                        .metadata = metadata_of(at, false)};
  if (S_ISLNK(facts.st_mode)) known_facts.target = std::filesystem::read_symlink(at);
  history.nodes.push_back(std::move(known_facts));
  paths.push_back(path);
  known[identity_of(facts)] = node;
  return node;
}

void DiskLog::State::made(const Place& place, int directory, const char* path) {
  struct stat64 facts {};
  if (!stat_of(directory, path, AT_SYMLINK_NOFOLLOW, facts)) std::abort();
  // Another name of what is known; an inode number that was free meanwhile is another file's.
  const auto old = facts.st_nlink > 1 && !S_ISDIR(facts.st_mode) ? node_of(facts) : std::nullopt;
  const Node node = old ? *old : learn(facts, real_path(directory, path), path_of(place));
  add_name(Kind::name, place).node = node;
}

// What is there at the start.
void DiskLog::State::learn_directory(Node node, const std::string& at) {
  for (const auto& entry : std::filesystem::directory_iterator(at)) {
    const std::string path = entry.path();
    struct stat64 facts {};
    if (!stat_of(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, facts))
      throw std::runtime_error("looking at " + path);
    const auto old = node_of(facts);
    const std::string name = entry.path().filename();
    const Node child = old ? *old : learn(facts, path, path_of({node, name}));
    history.start.files.resize(history.nodes.size());
    history.start.files[node].names[name] = child;
    history.start.files[child].metadata = history.nodes[child].metadata;
    if (S_ISDIR(facts.st_mode)) learn_directory(child, path);
    if (!S_ISREG(facts.st_mode) || old) continue;
    const int fd = open64(path.c_str(), O_RDONLY | O_CLOEXEC);
    Buffer& bytes = history.start.files[child].bytes;
    bytes.resize(static_cast<std::size_t>(facts.st_size));
    const bool done = fd >= 0 && pread64(fd, bytes.data(), bytes.size(), 0) == facts.st_size;
    close(fd);
    if (!done) throw std::runtime_error("reading " + path);
  }
}

DiskLog::DiskLog(const std::string& directory) : state_(std::make_unique<State>()) {
  struct stat64 facts {};
  if (!stat_of(AT_FDCWD, directory.c_str(), 0, facts) || !S_ISDIR(facts.st_mode))
    throw std::runtime_error(directory + " is no directory");
  state_->learn(facts, directory, "");
  state_->history.start.files.push_back(
      {.bytes = {}, .metadata = state_->history.nodes[0].metadata, .names = {}});
  state_->learn_directory(0, directory);
  DiskLog::State* none = nullptr;
  if (!active.compare_exchange_strong(none, state_.get()))
    throw std::logic_error("there is another log");
}

DiskLog::~DiskLog() {
  DiskLog::State* mine = state_.get();
  active.compare_exchange_strong(mine, nullptr);
}

std::size_t DiskLog::count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->history.operations.size();
}

void DiskLog::plant(DiskFault fault) {
  const std::lock_guard lock(state_->mutex);
  state_->fault = fault;
  state_->failures = 0;
}

std::size_t DiskLog::heal() {
  const std::lock_guard lock(state_->mutex);
  state_->fault.reset();
  return state_->failures;
}

disk::History DiskLog::take() {
  active = nullptr;
  const std::lock_guard lock(state_->mutex);
  return std::move(state_->history);
}

NoWaiting::NoWaiting() { ++not_waiting; }
NoWaiting::~NoWaiting() { --not_waiting; }

namespace {

void learn_inodes(const disk::History& history, const disk::Image& image, Node node,
                  const std::string& path) {
  struct stat64 facts {};
  if (!stat_of(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, facts))
    throw std::runtime_error("looking at " + path);
  old_inodes[identity_of(facts)] = history.nodes[node].inode;
  for (const auto& [name, child] : image.files[node].names)
    learn_inodes(history, image, child, path + '/' + name);
}

template <class Facts>
int with_old_inode(int done, Facts* facts) {
  if (done != 0 || old_inodes.empty()) return done;
  const auto found = old_inodes.find({facts->st_dev, facts->st_ino});
  if (found != old_inodes.end()) facts->st_ino = found->second;
  return done;
}

}  // namespace

OldInodes::OldInodes(const disk::History& history, const disk::Image& image,
                     const std::string& directory) {
  learn_inodes(history, image, 0, directory);
}
OldInodes::~OldInodes() { old_inodes.clear(); }

}  // namespace lamina::tests

using namespace lamina::tests;

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  static auto* const real = next<decltype(write)>("write");
  return written(fd, data, size, {}, [&](size_t some) { return real(fd, data, some); });
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  static auto* const real = next<decltype(pwrite64)>("pwrite64");
  return written(fd, data, size, offset, [&](size_t some) { return real(fd, data, some, offset); });
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  return pwrite64(fd, data, size, offset);
}
ssize_t writev(int fd, const iovec* parts, int count) { return written(fd, parts, count, {}); }
ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t offset) {
  return written(fd, parts, count, offset);
}
ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  return written(fd, parts, count, offset);
}

int fsync(int fd) {
  static auto* const real = next<decltype(fsync)>("fsync");
  return synced(fd, [&] { return real(fd); });
}
int fdatasync(int fd) {
  static auto* const real = next<decltype(fdatasync)>("fdatasync");
  return synced(fd, [&] { return real(fd); });
}
int syncfs(int fd) noexcept {
  static auto* const real = next<decltype(syncfs)>("syncfs");
  return synced(
      fd, [&] { return real(fd); }, true);
}

int ftruncate64(int fd, off64_t size) noexcept {
  static auto* const real = next<decltype(ftruncate64)>("ftruncate64");
  return resized(fd, size, [&] { return real(fd, size); });
}
int ftruncate(int fd, off_t size) noexcept { return ftruncate64(fd, size); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  static auto* const real = next<decltype(fallocate64)>("fallocate64");
  DiskLog::State* const log = active;
  if (log == nullptr) return real(fd, mode, offset, length);
  const std::lock_guard lock(log->mutex);
  if (log->node_of(fd) && log->goes_wrong(true)) return -1;
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && log->node_of(fd)) std::abort();  // Nobody does so.
  return real(fd, mode, offset, length);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  static auto* const real = next<decltype(open64)>("open64");
  return opened(AT_FDCWD, path, static_cast<std::uint64_t>(flags),
                [&] { return real(path, flags, mode); });
}
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open64(path, flags, mode);
}
int openat64(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  static auto* const real = next<decltype(openat64)>("openat64");
  return opened(directory, path, static_cast<std::uint64_t>(flags),
                [&] { return real(directory, path, flags, mode); });
}
// openat2() has no function of its own.
long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  static auto* const real = next<decltype(syscall)>("syscall");
  const auto call = [&] { return real(number, a[0], a[1], a[2], a[3], a[4], a[5]); };
  if (number != SYS_openat2) return call();
  const auto* how = reinterpret_cast<const open_how*>(a[2]);
  return opened(static_cast<int>(a[0]), reinterpret_cast<const char*>(a[1]), how->flags,
                [&] { return static_cast<int>(call()); });
}
int mkostemp64(char* path, int flags) {
  static auto* const real = next<decltype(mkostemp64)>("mkostemp64");
  return made(AT_FDCWD, path, [&] { return real(path, flags); });
}
char* mkdtemp(char* path) noexcept {
  static auto* const real = next<decltype(mkdtemp)>("mkdtemp");
  return made(AT_FDCWD, path, [&] { return real(path) == nullptr ? -1 : 0; }) == 0 ? path : nullptr;
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const real = next<decltype(mkdir)>("mkdir");
  return made(AT_FDCWD, path, [&] { return real(path, mode); });
}
int mkdirat(int directory, const char* path, mode_t mode) noexcept {
  static auto* const real = next<decltype(mkdirat)>("mkdirat");
  return made(directory, path, [&] { return real(directory, path, mode); });
}
int mknodat(int directory, const char* path, mode_t mode, dev_t device) noexcept {
  static auto* const real = next<decltype(mknodat)>("mknodat");
  return made(directory, path, [&] { return real(directory, path, mode, device); });
}
int mkfifo(const char* path, mode_t mode) noexcept {
  return mknodat(AT_FDCWD, path, mode | S_IFIFO, 0);
}
int symlink(const char* target, const char* path) noexcept {
  static auto* const real = next<decltype(symlink)>("symlink");
  return made(AT_FDCWD, path, [&] { return real(target, path); });
}
int symlinkat(const char* target, int directory, const char* path) noexcept {
  static auto* const real = next<decltype(symlinkat)>("symlinkat");
  return made(directory, path, [&] { return real(target, directory, path); });
}
int link(const char* from, const char* path) noexcept {
  static auto* const real = next<decltype(link)>("link");
  return made(AT_FDCWD, path, [&] { return real(from, path); });
}
int linkat(int from_directory, const char* from, int directory, const char* path,
           int flags) noexcept {
  static auto* const real = next<decltype(linkat)>("linkat");
  return made(directory, path, [&] { return real(from_directory, from, directory, path, flags); });
}

int unlink(const char* path) noexcept {
  static auto* const real = next<decltype(unlink)>("unlink");
  return removed(AT_FDCWD, path, [&] { return real(path); });
}
int unlinkat(int directory, const char* path, int flags) noexcept {
  static auto* const real = next<decltype(unlinkat)>("unlinkat");
  return removed(directory, path, [&] { return real(directory, path, flags); });
}
int rmdir(const char* path) noexcept {
  static auto* const real = next<decltype(rmdir)>("rmdir");
  return removed(AT_FDCWD, path, [&] { return real(path); });
}
int remove(const char* path) noexcept {
  const int done = unlink(path);
  return done != 0 && errno == EISDIR ? rmdir(path) : done;
}
int rename(const char* from, const char* to) noexcept {
  static auto* const real = next<decltype(rename)>("rename");
  return renamed(AT_FDCWD, from, AT_FDCWD, to, false, [&] { return real(from, to); });
}
int renameat2(int from_directory, const char* from, int to_directory, const char* to,
              unsigned flags) noexcept {
  static auto* const real = next<decltype(renameat2)>("renameat2");
  return renamed(from_directory, from, to_directory, to, (flags & RENAME_EXCHANGE) != 0,
                 [&] { return real(from_directory, from, to_directory, to, flags); });
}

int chmod(const char* path, mode_t mode) noexcept {
  static auto* const real = next<decltype(chmod)>("chmod");
  return described(AT_FDCWD, path, true, [&] { return real(path, mode); });
}
int fchmod(int fd, mode_t mode) noexcept {
  static auto* const real = next<decltype(fchmod)>("fchmod");
  return described(fd, [&] { return real(fd, mode); });
}
int fchown(int fd, uid_t user, gid_t group) noexcept {
  static auto* const real = next<decltype(fchown)>("fchown");
  return described(fd, [&] { return real(fd, user, group); });
}
int fchownat(int directory, const char* path, uid_t user, gid_t group, int flags) noexcept {
  static auto* const real = next<decltype(fchownat)>("fchownat");
  const auto call = [&] { return real(directory, path, user, group, flags); };
  if ((flags & AT_EMPTY_PATH) == 0 || *path != '\0')
    return described(directory, path, (flags & AT_SYMLINK_NOFOLLOW) == 0, call);
  return described(directory, call);
}
int futimens(int fd, const timespec times[2]) noexcept {
  static auto* const real = next<decltype(futimens)>("futimens");
  return described(fd, [&] { return real(fd, times); });
}
int utimensat(int directory, const char* path, const timespec times[2], int flags) noexcept {
  static auto* const real = next<decltype(utimensat)>("utimensat");
  return described(directory, path, (flags & AT_SYMLINK_NOFOLLOW) == 0,
                   [&] { return real(directory, path, times, flags); });
}
int lsetxattr(const char* path, const char* name, const void* value, size_t size,
              int flags) noexcept {
  static auto* const real = next<decltype(lsetxattr)>("lsetxattr");
  return described(
      AT_FDCWD, path, false, [&] { return real(path, name, value, size, flags); }, true);
}
int lremovexattr(const char* path, const char* name) noexcept {
  static auto* const real = next<decltype(lremovexattr)>("lremovexattr");
  return described(AT_FDCWD, path, false, [&] { return real(path, name); });
}

int fstat64(int fd, struct stat64* facts) noexcept {
  static auto* const real = next<decltype(fstat64)>("fstat64");
  return with_old_inode(real(fd, facts), facts);
}
int stat64(const char* path, struct stat64* facts) noexcept {
  static auto* const real = next<int(const char*, struct stat64*)>("stat64");
  return with_old_inode(real(path, facts), facts);
}
int lstat64(const char* path, struct stat64* facts) noexcept {
  static auto* const real = next<decltype(lstat64)>("lstat64");
  return with_old_inode(real(path, facts), facts);
}
int fstatat64(int directory, const char* path, struct stat64* facts, int flags) noexcept {
  static auto* const real = next<decltype(fstatat64)>("fstatat64");
  return with_old_inode(real(directory, path, facts, flags), facts);
}

}  // extern "C"
