#include "node/worker/volume.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "shared/format/path.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/os/errno.hpp"
#include "shared/os/xattr.hpp"

namespace lamina::node {
namespace {

using format::Entry;
using format::EntryKind;

Result<EntryKind> kind_of(const struct stat& facts, const std::string& path) {
  switch (facts.st_mode & S_IFMT) {
    case S_IFDIR: return EntryKind::directory;
    case S_IFREG: return EntryKind::file;
    case S_IFLNK: return EntryKind::symlink;
    case S_IFCHR: return EntryKind::char_device;
    case S_IFBLK: return EntryKind::block_device;
    case S_IFIFO: return EntryKind::fifo;
    default:
      return fail(ErrorKind::invalid, "a socket stands at '" + printable(path, 200) +
                                          "': stop the service that made it");
  }
}

bool same_metadata(const Entry& there, const Entry& wanted) {
  return there.mode == wanted.mode && there.uid == wanted.uid && there.gid == wanted.gid &&
         there.mtime_ns == wanted.mtime_ns && there.attributes == wanted.attributes;
}

}  // namespace

Result<std::optional<Entry>> describe(const os::Root& volume, const std::string& path) {
  auto facts = volume.facts(path);
  if (!facts) return fail(std::move(facts.error()));
  if (!*facts) return std::optional<Entry>();
  const struct stat& found = **facts;
  auto kind = kind_of(found, path);
  if (!kind) return fail(std::move(kind.error()));
  Entry entry{.path = path,
              .kind = *kind,
              .mode = found.st_mode & 07777,
              .uid = found.st_uid,
              .gid = found.st_gid,
              .mtime_ns = std::int64_t{found.st_mtim.tv_sec} * 1000000000 + found.st_mtim.tv_nsec};
  auto parent =
      path.empty() ? volume.open_at("", O_RDONLY | O_DIRECTORY) : volume.open_parent(path);
  if (!parent) return fail(std::move(parent.error()));
  const std::string name = path.empty() ? "." : os::last_component(path);
  if (*kind == EntryKind::symlink) {
    entry.mode = 0777;
    std::string target(4097, '\0');
    const ssize_t size = readlinkat(parent->get(), name.c_str(), target.data(), target.size());
    if (size < 0) return fail(os::last_error("reading symlink '" + printable(path, 200) + "'"));
    target.resize(static_cast<std::size_t>(size));
    entry.target = std::move(target);
  }
  if (*kind == EntryKind::char_device || *kind == EntryKind::block_device) {
    entry.device_major = major(found.st_rdev);
    entry.device_minor = minor(found.st_rdev);
  }
  auto attributes = os::read_xattrs(parent->get(), name, path);
  if (!attributes) return fail(std::move(attributes.error()));
  for (auto& [attribute, value] : *attributes)
    if (!attribute.starts_with("security.selinux"))
      entry.attributes.push_back({attribute, std::move(value)});
  return std::optional(std::move(entry));
}

Status remove_spent_directory(const os::Root& volume, const std::string& path) {
  auto removed = volume.remove(path);
  if (!removed && removed.error().kind() == ErrorKind::refused) return Done{};
  if (removed || removed.error().kind() != ErrorKind::invalid) return removed;
  auto names = volume.names_in(path);
  if (!names) return fail(std::move(names.error()));
  for (std::string& name : *names) {
    name = path + '/' + name;
    auto facts = volume.facts(name);
    if (!facts) return fail(std::move(facts.error()));
    if (image::derived_rule(name) == nullptr || !*facts || S_ISDIR((*facts)->st_mode))
      return Done{};
  }
  for (const std::string& name : *names)
    if (auto gone = volume.remove(name); !gone) return gone;
  return volume.remove(path);
}

Result<std::optional<std::string>> read_small_file(const os::Root& volume, const std::string& path,
                                                   std::size_t limit) {
  auto facts = volume.facts(path);
  // Beneath a symlink or a mount nothing of this volume stands.
  if (!facts && facts.error().kind() == ErrorKind::refused) return std::optional<std::string>();
  if (!facts) return fail(std::move(facts.error()));
  if (!*facts || !S_ISREG((*facts)->st_mode) ||
      static_cast<std::uint64_t>((*facts)->st_size) > limit)
    return std::optional<std::string>();
  auto file = volume.open_at(path, O_RDONLY | O_NONBLOCK);
  if (!file) return fail(std::move(file.error()));
  auto bytes = os::read_at(file->get(), 0, static_cast<std::size_t>((*facts)->st_size), path);
  if (!bytes) return fail(std::move(bytes.error()));
  return std::optional(std::string(as_text(*bytes)));
}

namespace {

// Whether a file has nothing but zeros from `at` to `end`: holes, or stored ones. A copy may have
// made holes of them, or filled them, and is the same file to whoever reads it.
Result<bool> reads_as_zeros(int fd, std::uint64_t at, std::uint64_t end, const std::string& path) {
  constexpr std::uint64_t kPiece = 256 * 1024;
  while (at < end) {
    const off_t data = lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return true;  // Only a hole is left.
    if (data < 0)
      return fail(os::last_error("looking for holes in '" + printable(path, 200) + "'"));
    at = static_cast<std::uint64_t>(data);
    if (at >= end) return true;
    auto bytes = os::read_at(fd, at, static_cast<std::size_t>(std::min(kPiece, end - at)), path);
    // Shorter than its stat said: it changed just now.
    if (!bytes && bytes.error().kind() == ErrorKind::corrupt) return false;
    if (!bytes) return fail(std::move(bytes.error()));
    if (std::ranges::any_of(*bytes, [](std::byte byte) { return byte != std::byte{0}; }))
      return false;
    at += bytes->size();
  }
  return true;
}

}  // namespace

Result<image::Likeness> VolumeDevice::compare(const Entry& entry) {
  using Is = image::Likeness::Is;
  if (!absent_.empty() && format::is_within(entry.path, absent_))
    return image::Likeness{Is::absent, false};
  auto facts = volume_.facts(entry.path);
  // Beneath a symlink or a mount nothing of this volume stands. Whether the way there may be made
  // is decided where the way is: at the directory above.
  if (!facts && facts.error().kind() == ErrorKind::refused)
    return image::Likeness{Is::absent, false};
  if (!facts) return fail(std::move(facts.error()));
  if (!*facts) {
    absent_ = entry.path;
    return image::Likeness{Is::absent, false};
  }
  const bool is_directory = S_ISDIR((*facts)->st_mode);
  if (entry.kind == EntryKind::hard_link) {
    auto first = volume_.facts(entry.target);
    if (!first) return fail(std::move(first.error()));
    const bool same = *first && (*first)->st_ino == (*facts)->st_ino;
    return image::Likeness{same ? Is::same : Is::differs, is_directory};
  }
  auto there = describe(volume_, entry.path);
  if (!there) return fail(std::move(there.error()));
  if (!*there) return image::Likeness{Is::absent, false};
  Entry wanted = entry;
  // A symlink's mode means nothing on Linux.
  if (wanted.kind == EntryKind::symlink) wanted.mode = 0777;
  bool same = (*there)->kind == wanted.kind && (*there)->target == wanted.target &&
              (*there)->device_major == wanted.device_major &&
              (*there)->device_minor == wanted.device_minor;
  if (same && wanted.kind == EntryKind::file) {
    same = static_cast<std::uint64_t>((*facts)->st_size) == wanted.size;
    if (same) {
      auto content = same_content(wanted);
      if (!content) return fail(std::move(content.error()));
      same = *content;
    }
  }
  if (!same) return image::Likeness{Is::differs, is_directory};
  return image::Likeness{same_metadata(**there, wanted) ? Is::same : Is::metadata_differs,
                         is_directory};
}

Result<bool> VolumeDevice::same_content(const Entry& entry) {
  auto file = volume_.open_at(entry.path, O_RDONLY | O_NONBLOCK);
  if (!file) return fail(std::move(file.error()));
  std::vector<format::Extent> extents = entry.extents;
  if (!entry.sparse) extents = {{0, entry.size}};
  std::uint64_t end = 0;
  for (std::size_t i = 0; entry.sparse && i <= extents.size(); ++i) {
    const std::uint64_t hole_end = i < extents.size() ? extents[i].offset : entry.size;
    auto empty = reads_as_zeros(file->get(), end, hole_end, entry.path);
    if (!empty || !*empty) return empty;
    if (i < extents.size()) end = extents[i].offset + extents[i].length;
  }
  std::size_t extent = 0;
  std::uint64_t at = 0;  // Within the extent.
  for (const format::ChunkRef& chunk : entry.chunks) {
    Sha256 hasher;
    for (std::uint64_t left = chunk.length; left > 0;) {
      const std::uint64_t take = std::min(left, extents[extent].length - at);
      auto bytes = os::read_at(file->get(), extents[extent].offset + at,
                               static_cast<std::size_t>(take), entry.path);
      // Shorter than its stat said: it changed just now.
      if (!bytes && bytes.error().kind() == ErrorKind::corrupt) return false;
      if (!bytes) return fail(std::move(bytes.error()));
      hasher.update(*bytes);
      left -= take;
      at += take;
      if (at == extents[extent].length) {
        ++extent;
        at = 0;
      }
    }
    if (ChunkId(hasher.finish()) != chunk.id) return false;
  }
  return true;
}

}  // namespace lamina::node
