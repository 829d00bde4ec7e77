#include "shared/tree/walker.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "shared/format/path.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/xattr.hpp"

namespace lamina {
namespace {

// Each level holds a descriptor. PATH_MAX allows 2048 levels; real trees stay below 60.
constexpr std::size_t kDepthMax = 512;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

std::optional<format::EntryKind> kind_of(mode_t mode) {
  using format::EntryKind;
  switch (mode & S_IFMT) {
    case S_IFDIR: return EntryKind::directory;
    case S_IFREG: return EntryKind::file;
    case S_IFLNK: return EntryKind::symlink;
    case S_IFCHR: return EntryKind::char_device;
    case S_IFBLK: return EntryKind::block_device;
    case S_IFIFO: return EntryKind::fifo;
    default: return std::nullopt;
  }
}

Result<std::string> read_link(int parent, const std::string& name, const std::string& path) {
  std::string target(format::kPathMax + 1, '\0');
  const ssize_t size = readlinkat(parent, name.c_str(), target.data(), target.size());
  if (size < 0) return fail(os::last_error("reading symlink '" + printable(path) + "'"));
  target.resize(static_cast<std::size_t>(size));
  return target;
}

}  // namespace

struct Walker::Level {
  os::Descriptor directory;
  std::string path;
  std::vector<std::string> names;
  std::size_t next = 0;
};

std::string_view name_of(Note::Kind kind) {
  switch (kind) {
    case Note::Kind::skipped: return "skipped";
    case Note::Kind::unreadable: return "unreadable";
    case Note::Kind::changed: return "changed";
  }
  return "unknown";
}

FileFacts facts_of(const struct stat& facts) {
  return {.device = facts.st_dev,
          .inode = facts.st_ino,
          .size = static_cast<std::uint64_t>(facts.st_size),
          .mtime_ns = nanoseconds(facts.st_mtim),
          .ctime_ns = nanoseconds(facts.st_ctim)};
}

Walker::Walker(const os::Root& root, Include include, OnNote on_note)
    : root_(root),
      include_(std::move(include)),
      on_note_(std::move(on_note)),
      names_(AccountNames::of_tree(root)) {}

Walker::~Walker() = default;

void Walker::note(Note::Kind kind, const std::string& path, std::string reason) {
  on_note_({kind, path, std::move(reason)});
}

Result<std::optional<Found>> Walker::next() {
  if (!started_) {
    started_ = true;
    struct stat facts {};
    if (fstat(root_.fd(), &facts) != 0)
      return fail(os::last_error("looking at " + printable(root_.path())));
    device_ = facts.st_dev;
    auto found = look_at(root_.fd(), ".", "");
    if (found && *found) descend(root_.fd(), ".", "");
    return found;
  }
  while (!levels_.empty()) {
    Level& level = levels_.back();
    if (level.next == level.names.size()) {
      levels_.pop_back();
      continue;
    }
    const std::string name = level.names[level.next++];
    const std::string path = level.path.empty() ? name : level.path + '/' + name;
    const int parent = level.directory.get();
    auto found = look_at(parent, name, path);
    if (!found) return found;
    if (!*found) continue;
    if ((*found)->entry.kind == format::EntryKind::directory && (*found)->facts.device == device_)
      descend(parent, name, path);
    return found;
  }
  return std::optional<Found>();
}

Result<std::optional<Found>> Walker::look_at(int parent, const std::string& name,
                                             const std::string& path) {
  using format::EntryKind;
  struct stat facts {};
  if (fstatat(parent, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
    // Gone since the directory was read: then it is not part of this walk.
    if (errno != ENOENT) note(Note::Kind::unreadable, path, os::last_error("stat").text());
    return std::optional<Found>();
  }
  const auto kind = kind_of(facts.st_mode);
  if (!include_(path, kind == EntryKind::directory)) return std::optional<Found>();
  if (!kind) {
    note(Note::Kind::skipped, path, "a socket belongs to the process that made it");
    return std::optional<Found>();
  }
  if (auto good = format::check_path(path); !good) {
    note(Note::Kind::skipped, path, good.error().text());
    return std::optional<Found>();
  }
  Found found{.entry = {.path = path, .kind = *kind}, .facts = facts_of(facts)};
  format::Entry& entry = found.entry;
  if (facts.st_dev != device_)
    note(Note::Kind::skipped, path,
         "another file system is mounted here: its content is not included");

  if (*kind != EntryKind::directory && facts.st_nlink > 1) {
    const auto [group, is_first] = links_.try_emplace(
        facts.st_ino, LinkGroup{path, static_cast<std::uint64_t>(facts.st_nlink)});
    if (!is_first) {
      entry.kind = EntryKind::hard_link;
      entry.target = group->second.first_path;
      // Once every name was seen the group takes no memory.
      if (--group->second.names_left <= 1) links_.erase(group);
      return std::optional(std::move(found));
    }
  }
  entry.mode = facts.st_mode & 07777;
  entry.uid = facts.st_uid;
  entry.gid = facts.st_gid;
  entry.owner = names_.user(facts.st_uid);
  entry.group = names_.group(facts.st_gid);
  entry.mtime_ns = found.facts.mtime_ns;
  if (*kind == EntryKind::file) {
    entry.size = found.facts.size;
    found.may_be_sparse = static_cast<std::uint64_t>(facts.st_blocks) * 512 < found.facts.size;
  }
  if (*kind == EntryKind::char_device || *kind == EntryKind::block_device) {
    entry.device_major = major(facts.st_rdev);
    entry.device_minor = minor(facts.st_rdev);
  }
  if (*kind == EntryKind::symlink) {
    auto target = read_link(parent, name, path);
    if (!target) {
      note(Note::Kind::unreadable, path, target.error().text());
      return std::optional<Found>();
    }
    entry.target = std::move(*target);
  }
  auto attributes = os::read_xattrs(parent, name, path);
  if (!attributes) {
    note(Note::Kind::unreadable, path, attributes.error().text());
  } else {
    for (auto& [attribute, value] : *attributes)
      entry.attributes.push_back({attribute, std::move(value)});
  }
  current_parent_ = parent;
  current_name_ = name;
  return std::optional(std::move(found));
}

void Walker::descend(int parent, const std::string& name, const std::string& path) {
  if (levels_.size() == kDepthMax) {
    note(Note::Kind::skipped, path, "directories are nested more than 512 deep");
    return;
  }
  os::Descriptor directory(
      openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.is_open()) {
    note(Note::Kind::unreadable, path, os::last_error("opening the directory").text());
    return;
  }
  auto names = os::list_directory("/proc/self/fd/" + std::to_string(directory.get()));
  if (!names) {
    note(Note::Kind::unreadable, path, names.error().text());
    return;
  }
  levels_.push_back(
      {.directory = std::move(directory), .path = path, .names = std::move(*names), .next = 0});
}

Result<os::Descriptor> Walker::open_current() const {
  // O_NONBLOCK: a fifo that took the file's place must not stop the walk.
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME;
  int fd = openat(current_parent_, current_name_.c_str(), flags);
  // Only the owner may leave the access time alone.
  if (fd < 0 && errno == EPERM)
    fd = openat(current_parent_, current_name_.c_str(), flags & ~O_NOATIME);
  os::Descriptor file(fd);
  if (!file.is_open()) return fail(os::last_error("opening"));
  return file;
}

}  // namespace lamina
