#include "shared/tree/materialize.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <utility>

#include "shared/format/path.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/xattr.hpp"

namespace lamina {
namespace {

using format::Entry;
using format::EntryKind;

Error error_at(const Entry& entry, std::string doing) {
  return os::last_error(std::move(doing) + " '" + printable(entry.path, 200) + "'");
}

// Lays chunk bytes into a file's extents, one behind the other.
Status write_content(int fd, const Entry& entry, const format::ChunkSource& source) {
  const std::string what = "'" + printable(entry.path, 200) + "'";
  const std::vector<format::Extent> whole{{0, entry.size}};
  const auto& extents = entry.sparse ? entry.extents : whole;
  // Reserves the blocks in one piece; a file system that cannot is no error, a full disk is.
  if (!entry.sparse && entry.size > 65536 &&
      fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(entry.size)) != 0 && errno == ENOSPC)
    return fail(error_at(entry, "reserving space for"));
  std::size_t extent = 0;
  std::uint64_t in_extent = 0;
  for (const format::ChunkRef& ref : entry.chunks) {
    auto bytes = source(ref);
    if (!bytes) return fail(std::move(bytes.error()).in(what));
    ByteView rest = *bytes;
    while (!rest.empty()) {
      // check_entry made sure that chunks and extents add up.
      const format::Extent& run = extents[extent];
      const auto take =
          static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), run.length - in_extent));
      if (auto done = os::write_all_at(fd, rest.first(take), run.offset + in_extent, what); !done)
        return done;
      rest = rest.subspan(take);
      in_extent += take;
      if (in_extent == run.length) {
        ++extent;
        in_extent = 0;
      }
    }
  }
  if (entry.sparse && ftruncate(fd, static_cast<off_t>(entry.size)) != 0)
    return fail(error_at(entry, "sizing"));
  return Done{};
}

std::pair<uid_t, gid_t> owner_of(const Entry& entry, const MaterializeOptions& options) {
  if (options.accounts == nullptr) return {entry.uid, entry.gid};
  return {options.accounts->user_id(entry.owner).value_or(entry.uid),
          options.accounts->group_id(entry.group).value_or(entry.gid)};
}

Status set_attributes(int parent, const std::string& name, const Entry& entry) {
  auto present = os::read_xattrs(parent, name, entry.path);
  if (!present) return fail(std::move(present.error()));
  std::map<std::string, std::string> surplus(present->begin(), present->end());
  for (const auto& [attribute, value] : entry.attributes) {
    const auto known = surplus.find(attribute);
    const bool equal = known != surplus.end() && known->second == value;
    if (known != surplus.end()) surplus.erase(known);
    if (equal) continue;
    if (auto done = os::set_xattr(parent, name, attribute, value, entry.path); !done) return done;
  }
  for (const auto& [attribute, value] : surplus) {
    // A security module labels files by itself.
    if (attribute.starts_with("security.selinux")) continue;
    if (auto done = os::remove_xattr(parent, name, attribute, entry.path); !done) return done;
  }
  return Done{};
}

std::array<timespec, 2> times_of(const Entry& entry) {
  std::int64_t seconds = entry.mtime_ns / 1000000000;
  std::int64_t rest = entry.mtime_ns % 1000000000;
  if (rest < 0) --seconds, rest += 1000000000;
  return {timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
          timespec{.tv_sec = seconds, .tv_nsec = rest}};
}

// What set_metadata() does, for a file that was made just now and is open: by its descriptor, which
// costs a third of it.
Status finish_new_file(int fd, int parent, const std::string& name, const Entry& entry,
                       const MaterializeOptions& options) {
  if (options.set_owner) {
    const auto [uid, gid] = owner_of(entry, options);
    if (fchown(fd, uid, gid) != 0) return fail(error_at(entry, "setting the owner of"));
  }
  if (fchmod(fd, entry.mode) != 0) return fail(error_at(entry, "setting the mode of"));
  // The directory may have given it some.
  const bool is_bare = entry.attributes.empty() && flistxattr(fd, nullptr, 0) <= 0;
  if (options.set_attributes && !is_bare)
    if (auto done = set_attributes(parent, name, entry); !done) return done;
  if (futimens(fd, times_of(entry).data()) != 0)
    return fail(error_at(entry, "setting the times of"));
  return Done{};
}

// A file is made whole, everything else without metadata. `made` says whether something stands at
// `name` that was not there before.
Status make_bare(int parent, const std::string& name, const Entry& entry,
                 const format::ChunkSource& source, const MaterializeOptions& options, bool& made) {
  const char* const c_name = name.c_str();
  const auto device = makedev(entry.device_major, entry.device_minor);
  int code = 0;
  switch (entry.kind) {
    case EntryKind::directory: code = mkdirat(parent, c_name, 0700); break;
    case EntryKind::symlink: code = symlinkat(entry.target.c_str(), parent, c_name); break;
    case EntryKind::fifo: code = mknodat(parent, c_name, S_IFIFO | 0600, 0); break;
    case EntryKind::char_device: code = mknodat(parent, c_name, S_IFCHR | 0600, device); break;
    case EntryKind::block_device: code = mknodat(parent, c_name, S_IFBLK | 0600, device); break;
    case EntryKind::file: {
      const os::Descriptor file(
          openat(parent, c_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (!file.is_open()) return fail(error_at(entry, "creating"));
      made = true;
      if (auto done = write_content(file.get(), entry, source); !done) return done;
      return finish_new_file(file.get(), parent, name, entry, options);
    }
    case EntryKind::hard_link:
    case EntryKind::whiteout:
      return fail(ErrorKind::invalid, "a " + std::string(name_of(entry.kind)) + " ('" +
                                          printable(entry.path, 200) + "') cannot stand alone");
  }
  if (code != 0) return fail(error_at(entry, "creating"));
  made = true;
  return Done{};
}

}  // namespace

mode_t file_type_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::directory: return S_IFDIR;
    case EntryKind::file: return S_IFREG;
    case EntryKind::symlink: return S_IFLNK;
    case EntryKind::char_device: return S_IFCHR;
    case EntryKind::block_device: return S_IFBLK;
    case EntryKind::fifo: return S_IFIFO;
    case EntryKind::hard_link:
    case EntryKind::whiteout: break;
  }
  return 0;
}

Status set_metadata(int parent, const std::string& name, const Entry& entry,
                    const MaterializeOptions& options) {
  const char* const c_name = name.c_str();
  // Held by a descriptor: what is changed is what was looked at, whoever else writes in `parent`.
  const os::Descriptor held(openat(parent, c_name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts {};
  if (!held.is_open() || fstat(held.get(), &facts) != 0)
    return fail(error_at(entry, "setting the metadata of"));
  if ((facts.st_mode & S_IFMT) != file_type_of(entry.kind))
    return fail(ErrorKind::refused, "'" + printable(entry.path, 200) + "' is no " +
                                        std::string(name_of(entry.kind)) +
                                        " any more: something else took its place");
  const std::string through = "/proc/self/fd/" + std::to_string(held.get());
  if (options.set_owner) {
    const auto [uid, gid] = owner_of(entry, options);
    if (fchownat(held.get(), "", uid, gid, AT_EMPTY_PATH) != 0)
      return fail(error_at(entry, "setting the owner of"));
  }
  // A symlink has no mode of its own on Linux.
  const bool symlink = entry.kind == EntryKind::symlink;
  if (!symlink && chmod(through.c_str(), entry.mode) != 0)
    return fail(error_at(entry, "setting the mode of"));
  if (options.set_attributes)
    if (auto done = set_attributes(parent, name, entry); !done) return done;
  const auto times = times_of(entry);
  // A symlink's own times are reached by its name only; before Linux 5.8 O_PATH does not do.
  if (symlink ? utimensat(parent, c_name, times.data(), AT_SYMLINK_NOFOLLOW) != 0
              : utimensat(AT_FDCWD, through.c_str(), times.data(), 0) != 0)
    return fail(error_at(entry, "setting the times of"));
  return Done{};
}

Status make_entry(int parent, const std::string& name, const Entry& entry,
                  const format::ChunkSource& source, const MaterializeOptions& options) {
  if (auto good = format::check_entry(entry); !good) return good;
  bool made = false;
  auto done = make_bare(parent, name, entry, source, options, made);
  if (done && entry.kind != EntryKind::directory && entry.kind != EntryKind::file)
    done = set_metadata(parent, name, entry, options);
  // A directory fails only before it is made, and what else was made is no directory.
  if (!done && made) unlinkat(parent, name.c_str(), 0);
  return done;
}

TreeWriter::TreeWriter(const os::Root& root, std::string base, format::ChunkSource source,
                       MaterializeOptions options)
    : root_(root),
      base_(std::move(base)),
      source_(std::move(source)),
      options_(options),
      writeback_(root.fd(), printable(root.path())) {}

std::string TreeWriter::local(std::string_view path) const {
  if (base_.empty()) return std::string(path);
  return std::string(path.substr(std::min(path.size(), base_.size() + 1)));
}

Status TreeWriter::write(const Entry& entry) {
  if (!format::is_within(entry.path, base_))
    return fail(ErrorKind::invalid, "entry '" + printable(entry.path, 200) + "' is outside '" +
                                        printable(base_, 200) + "'");
  if (auto done = leave_directories(entry.path); !done) return done;
  ++entries_;
  bytes_ += entry.size;
  writeback_.wrote(entry.stored_bytes());
  const std::string path = local(entry.path);
  if (entry.kind == EntryKind::whiteout) return Done{};
  if (path.empty() && entry.kind == EntryKind::directory) {
    open_directories_.push_back(entry);
    return Done{};
  }
  // A single file that was asked for by its path keeps its name.
  const std::string target = path.empty() ? std::string(format::name_of(entry.path)) : path;
  auto parent = root_.open_parent(target);
  if (!parent) return fail(std::move(parent.error()));
  const std::string name = os::last_component(target);
  if (entry.kind == EntryKind::hard_link) {
    if (format::is_within(entry.target, base_))
      return link(entry, local(entry.target), parent->get(), name);
    if (const auto made = outside_.find(entry.target); made != outside_.end())
      return link(entry, made->second, parent->get(), name);
    if (!find_outside_) return make_entry(parent->get(), name, entry, source_, options_);
    auto first = find_outside_(entry.target);
    if (!first) return fail(std::move(first.error()));
    if (first->kind == EntryKind::directory || first->kind == EntryKind::hard_link)
      return fail(ErrorKind::invalid, "'" + printable(entry.path, 200) + "' is a hard link to '" +
                                          printable(entry.target, 200) + "', which is a " +
                                          std::string(name_of(first->kind)));
    first->path = entry.path;
    bytes_ += first->size;
    outside_.emplace(entry.target, target);
    return make_entry(parent->get(), name, *first, source_, options_);
  }
  if (auto done = make_entry(parent->get(), name, entry, source_, options_); !done) return done;
  if (entry.kind == EntryKind::directory) open_directories_.push_back(entry);
  return Done{};
}

Status TreeWriter::link(const Entry& entry, const std::string& first, int parent,
                        const std::string& name) const {
  auto from = root_.open_parent(first);
  if (!from) return fail(std::move(from.error()));
  if (linkat(from->get(), os::last_component(first).c_str(), parent, name.c_str(), 0) != 0)
    return fail(error_at(entry, "linking"));
  return Done{};
}

Status TreeWriter::leave_directories(std::string_view next_path) {
  while (!open_directories_.empty() &&
         !format::is_within(next_path, open_directories_.back().path)) {
    const Entry directory = std::move(open_directories_.back());
    open_directories_.pop_back();
    const std::string path = local(directory.path);
    auto parent =
        path.empty() ? root_.open_at("", O_RDONLY | O_DIRECTORY) : root_.open_parent(path);
    if (!parent) return fail(std::move(parent.error()));
    const std::string name = path.empty() ? "." : os::last_component(path);
    if (auto done = set_metadata(parent->get(), name, directory, options_); !done) return done;
  }
  return Done{};
}

Status TreeWriter::finish() {
  // No path is within nothing: "/" leaves all of them, the root last.
  while (!open_directories_.empty()) {
    const std::string path = open_directories_.back().path;
    if (path.empty() || path == base_) {
      const Entry directory = std::move(open_directories_.back());
      open_directories_.pop_back();
      if (auto done = set_metadata(root_.fd(), ".", directory, options_); !done) return done;
    } else if (auto done = leave_directories(format::parent_of(path)); !done) {
      return done;
    }
  }
  return writeback_.stop();
}

}  // namespace lamina
