#include "shared/os/beneath.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "shared/os/errno.hpp"

namespace lamina::os {
namespace {

constexpr std::uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;

int open_from(int root, const std::string& relative, int flags, mode_t mode,
              std::uint64_t resolve = kBeneath) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = resolve | RESOLVE_NO_XDEV;
  const char* path = relative.empty() ? "." : relative.c_str();
  // The kernel may answer EAGAIN when a rename races with the walk; the kernel asks to retry.
  for (int tries = 0; tries < 100; ++tries) {
    const long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN) return static_cast<int>(fd);
  }
  return -1;
}

std::string parent_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

// ELOOP and EXDEV say that the tree itself leads astray: that deserves words of its own.
Error explain(std::string doing) {
  const int code = errno;
  Error error = from_errno(code, std::move(doing));
  if (code == ELOOP || code == EXDEV)
    return {ErrorKind::refused,
            error.text() +
                " (a symlink or another file system is in the way; paths are not followed "
                "out of the volume)"};
  return error;
}

}  // namespace

std::string last_component(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Result<Root> Root::open(const std::string& path) {
  Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.is_open()) return fail(last_error("opening directory " + printable(path)));
  return Root(path, std::move(fd));
}

const Root::Volume& Root::innermost(std::string_view relative) const {
  const Volume* found = &volumes_.front();
  for (const Volume& volume : volumes_) {
    const bool is_within =
        relative.starts_with(volume.place) &&
        (relative.size() == volume.place.size() || relative[volume.place.size()] == '/');
    if (is_within && volume.place.size() > found->place.size()) found = &volume;
  }
  return *found;
}

int Root::open_beneath(const std::string& relative, int flags, mode_t mode) const {
  const Volume& volume = innermost(relative);
  const std::size_t skipped = volume.place.empty() ? 0 : volume.place.size() + 1;
  return open_from(volume.fd.get(), relative.size() > skipped ? relative.substr(skipped) : "",
                   flags, mode);
}

Result<bool> Root::enter(const std::string& relative) {
  auto parent = open_parent(relative);
  if (!parent && parent.error().kind() == ErrorKind::not_found) return false;
  if (!parent) return fail(std::move(parent.error()));
  const std::string name = last_component(relative);
  struct stat outside {};
  // Not through O_PATH: it would not set off an automount.
  Descriptor directory(
      openat(parent->get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.is_open() && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) return false;
  struct statx inside {};
  if (!directory.is_open() || fstat(parent->get(), &outside) != 0 ||
      statx(directory.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &inside) != 0)
    return fail(explain("looking at '" + printable(relative) + "'"));
  const bool is_mounted = (inside.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 ||
                          makedev(inside.stx_dev_major, inside.stx_dev_minor) != outside.st_dev;
  if (is_mounted && !has_entered(relative)) volumes_.push_back({relative, std::move(directory)});
  return is_mounted;
}

bool Root::has_entered(std::string_view relative) const {
  return !relative.empty() && innermost(relative).place == relative;
}

const std::string& Root::volume_of(std::string_view relative) const {
  return innermost(relative).place;
}

std::vector<std::string> Root::volumes() const {
  std::vector<std::string> places;
  for (std::size_t i = 1; i < volumes_.size(); ++i) places.push_back(volumes_[i].place);
  return places;
}

Status Root::sync() const {
  for (const Volume& volume : volumes_)
    if (auto done = sync_filesystem_of(
            volume.fd.get(), printable(volume.place.empty() ? path_ : path_ + '/' + volume.place));
        !done)
      return done;
  return Done{};
}

Result<Descriptor> Root::open_at(const std::string& relative, int flags, mode_t mode) const {
  Descriptor fd(open_beneath(relative, flags | O_NOFOLLOW, mode));
  if (!fd.is_open()) return fail(explain("opening '" + printable(relative) + "'"));
  return fd;
}

Result<Descriptor> Root::open_in_root(const std::string& relative, int flags) const {
  Descriptor found(open_from(fd(), relative, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  if (!found.is_open()) return fail(explain("opening '" + printable(relative) + "'"));
  return found;
}

Result<Descriptor> Root::open_parent(const std::string& relative) const {
  // Without O_NOFOLLOW: with O_PATH it would open a symlink in last place instead of refusing it.
  Descriptor fd(open_beneath(parent_path(relative), O_PATH | O_DIRECTORY, 0));
  if (!fd.is_open()) return fail(explain("opening the directory of '" + printable(relative) + "'"));
  return fd;
}

Result<std::optional<struct stat>> Root::facts(const std::string& relative) const {
  struct stat facts {};
  const Descriptor parent(open_beneath(parent_path(relative), O_PATH | O_DIRECTORY, 0));
  const bool found = parent.is_open() &&
                     fstatat(parent.get(), last_component(relative).c_str(), &facts,
                             AT_SYMLINK_NOFOLLOW | (relative.empty() ? AT_EMPTY_PATH : 0)) == 0;
  if (found) return std::optional(facts);
  if (errno == ENOENT || errno == ENOTDIR) return std::optional<struct stat>();
  return fail(explain("looking at '" + printable(relative) + "'"));
}

Status Root::make_directory(const std::string& relative) const {
  auto parent = open_parent(relative);
  if (!parent) return fail(std::move(parent.error()));
  if (mkdirat(parent->get(), last_component(relative).c_str(), 0700) != 0)
    return fail(explain("making directory '" + printable(relative) + "'"));
  return Done{};
}

Result<std::vector<std::string>> Root::names_in(const std::string& relative) const {
  auto fd = open_at(relative, O_RDONLY | O_DIRECTORY);
  if (!fd) return fail(std::move(fd.error()));
  const auto close = [](DIR* directory) { closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(fdopendir(fd->get()), close);
  if (!directory) return fail(explain("listing '" + printable(relative) + "'"));
  fd->release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* const entry = readdir(directory.get());
    if (entry == nullptr && errno != 0)
      return fail(explain("listing '" + printable(relative) + "'"));
    if (entry == nullptr) return names;
    if (const std::string_view name = entry->d_name; name != "." && name != "..")
      names.emplace_back(name);
  }
}

Status Root::remove(const std::string& relative) const {
  auto parent = open_parent(relative);
  if (!parent) return fail(std::move(parent.error()));
  const std::string name = last_component(relative);
  if (unlinkat(parent->get(), name.c_str(), 0) == 0) return Done{};
  if ((errno == EISDIR || errno == EPERM) &&
      unlinkat(parent->get(), name.c_str(), AT_REMOVEDIR) == 0)
    return Done{};
  if (errno == EBUSY)
    return fail(ErrorKind::refused, "removing '" + printable(relative) + "': it is a mount point");
  return fail(explain("removing '" + printable(relative) + "'"));
}

Status Root::rename(const std::string& from, const std::string& to, Rename how) const {
  auto old_parent = open_parent(from);
  if (!old_parent) return fail(std::move(old_parent.error()));
  auto new_parent = open_parent(to);
  if (!new_parent) return fail(std::move(new_parent.error()));
  const unsigned flags = how == Rename::exchange     ? RENAME_EXCHANGE
                         : how == Rename::no_replace ? RENAME_NOREPLACE
                                                     : 0;
  if (renameat2(old_parent->get(), last_component(from).c_str(), new_parent->get(),
                last_component(to).c_str(), flags) != 0)
    return fail(explain("renaming '" + printable(from) + "' to '" + printable(to) + "'"));
  return Done{};
}

}  // namespace lamina::os
