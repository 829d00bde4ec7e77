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

// lstat, and whether something is mounted there: bind mounts of the same file system as well, and
// files, which a device number does not tell (an overlay's files may have any).
struct Look {
  struct stat facts {};
  bool mounted = false;
};
std::optional<Look> look(int parent, const char* name) {
  struct statx x {};
  if (statx(parent, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &x) != 0)
    return std::nullopt;
  const auto time = [](const statx_timestamp& t) {
    return timespec{.tv_sec = static_cast<time_t>(t.tv_sec), .tv_nsec = t.tv_nsec};
  };
  Look seen;
  seen.facts.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
  seen.facts.st_ino = x.stx_ino;
  seen.facts.st_mode = x.stx_mode;
  seen.facts.st_nlink = x.stx_nlink;
  seen.facts.st_uid = x.stx_uid;
  seen.facts.st_gid = x.stx_gid;
  seen.facts.st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor);
  seen.facts.st_size = static_cast<off_t>(x.stx_size);
  seen.facts.st_blocks = static_cast<blkcnt_t>(x.stx_blocks);
  seen.facts.st_mtim = time(x.stx_mtime);
  seen.facts.st_ctim = time(x.stx_ctime);
  seen.mounted = (x.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;  // Linux 5.8.
  return seen;
}

std::pair<std::uint64_t, std::uint64_t> link_key(const FileFacts& facts) {
  return {facts.device, facts.inode};
}

bool may_be_sparse(const struct stat& facts) { return facts.st_blocks * 512 < facts.st_size; }

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
  std::uint64_t device = 0;  // Of its file system.
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

Walker::Walker(const os::Root& root, Include include, OnNote on_note, Remember remember)
    : root_(root),
      include_(std::move(include)),
      on_note_(std::move(on_note)),
      remember_(std::move(remember)),
      names_(AccountNames::of_tree(root)) {}

Walker::~Walker() = default;

void Walker::note(Note::Kind kind, const std::string& path, std::string reason) {
  on_note_({kind, path, std::move(reason)});
}

Result<std::optional<Found>> Walker::next() {
  if (!started_) {
    started_ = true;
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
    if (enter_) descend(parent, name, path);
    return found;
  }
  return std::optional<Found>();
}

Result<std::optional<Found>> Walker::look_at(int parent, const std::string& name,
                                             const std::string& path) {
  using format::EntryKind;
  const auto seen = look(parent, name.c_str());
  if (!seen) {
    // Gone since the directory was read: then it is not part of this walk.
    if (errno != ENOENT) note(Note::Kind::unreadable, path, os::last_error("stat").text());
    return std::optional<Found>();
  }
  const struct stat& facts = seen->facts;
  const auto kind = kind_of(facts.st_mode);
  const bool directory = kind == EntryKind::directory;
  if (!include_(path, directory)) return std::optional<Found>();
  if (!kind) {
    note(Note::Kind::skipped, path, "a socket belongs to the process that made it");
    return std::optional<Found>();
  }
  if (auto good = format::check_path(path); !good) {
    note(Note::Kind::skipped, path, good.error().text());
    return std::optional<Found>();
  }
  // The root may be a mount point.
  const bool mounted =
      !path.empty() && (seen->mounted || (directory && facts.st_dev != levels_.back().device));
  const bool foreign = mounted && !root_.has_entered(path);
  if (foreign)
    note(Note::Kind::skipped, path, "something is mounted here: its content is not included");
  // A mount point stays as a directory, so that a restored tree can be mounted on.
  if (foreign && !directory) return std::optional<Found>();
  enter_ = directory && !foreign;
  enter_device_ = facts.st_dev;

  Found found{.entry = {.path = path, .kind = *kind}, .facts = facts_of(facts)};
  found.is_foreign = foreign;
  format::Entry& entry = found.entry;
  if (!directory && facts.st_nlink > 1) {
    const auto [group, is_first] = links_.try_emplace(
        link_key(found.facts), LinkGroup{path, static_cast<std::uint64_t>(facts.st_nlink)});
    if (!is_first) {
      entry.kind = EntryKind::hard_link;
      entry.target = group->second.first_path;
      // Once every name was seen the group takes no memory.
      if (--group->second.names_left <= 1) links_.erase(group);
      return std::optional(std::move(found));
    }
  }
  describe_file(facts, entry);
  if (*kind == EntryKind::file) {
    entry.size = found.facts.size;
    found.may_be_sparse = may_be_sparse(facts);
  }
  if (*kind == EntryKind::char_device || *kind == EntryKind::block_device) {
    entry.device_major = major(facts.st_rdev);
    entry.device_minor = minor(facts.st_rdev);
  }
  if (*kind == EntryKind::symlink) {
    auto target = read_link(parent, name, path);
    if (!target) {
      note(Note::Kind::unreadable, path, target.error().text());
      leave_out(found);
      return std::optional<Found>();
    }
    entry.target = std::move(*target);
  }
  const auto* const remembered = *kind == EntryKind::file ? remember_(path, found.facts) : nullptr;
  if (remembered != nullptr)
    entry.attributes = *remembered;
  else
    read_attributes(parent, name, found);
  current_parent_ = parent;
  current_name_ = name;
  return std::optional(std::move(found));
}

void Walker::describe_file(const struct stat& facts, format::Entry& entry) const {
  entry.mode = facts.st_mode & 07777;
  entry.uid = facts.st_uid;
  entry.gid = facts.st_gid;
  entry.owner = names_.user(facts.st_uid);
  entry.group = names_.group(facts.st_gid);
  entry.mtime_ns = nanoseconds(facts.st_mtim);
}

void Walker::read_attributes(int parent, const std::string& name, Found& found) {
  format::Entry& entry = found.entry;
  entry.attributes.clear();
  found.is_incomplete = true;
  auto attributes = os::read_xattrs(parent, name, entry.path);
  if (!attributes) {
    note(Note::Kind::unreadable, entry.path, attributes.error().text());
    return;
  }
  found.is_incomplete = false;
  if (attributes->empty()) return;
  for (auto& [attribute, value] : *attributes)
    entry.attributes.push_back({attribute, std::move(value)});
  // Beyond a limit of the format the entry goes without: a directory that was left out would take
  // all that lies beneath it along.
  const format::Entry probe{
      .path = entry.path, .kind = format::EntryKind::directory, .attributes = entry.attributes};
  if (auto good = format::check_entry(probe); !good) {
    note(Note::Kind::skipped, entry.path, good.error().text() + ": they are left out");
    entry.attributes.clear();
    found.is_incomplete = true;
  }
}

bool Walker::look_again(Found& found) {
  const auto seen = look(current_parent_, current_name_.c_str());
  if (!seen || !S_ISREG(seen->facts.st_mode)) return false;
  const FileFacts facts = facts_of(seen->facts);
  // The other names of the file that was here still belong together, without this one.
  if (link_key(facts) != link_key(found.facts)) leave_out(found);
  found.facts = facts;
  found.may_be_sparse = may_be_sparse(seen->facts);
  found.entry.size = facts.size;
  describe_file(seen->facts, found.entry);
  read_attributes(current_parent_, current_name_, found);
  return true;
}

void Walker::leave_out(const Found& found) {
  const auto group = links_.find(link_key(found.facts));
  if (group != links_.end() && group->second.first_path == found.entry.path) links_.erase(group);
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
  levels_.push_back({.directory = std::move(directory),
                     .device = enter_device_,
                     .path = path,
                     .names = std::move(*names),
                     .next = 0});
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
