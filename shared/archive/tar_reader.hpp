// TarReader: the members of a tar file (ustar, GNU, pax), one after the other, through libarchive.
//
// Plain or compressed with gzip, zstd, xz or bzip2. What a member says of itself is checked against
// the limits of an entry, but its name is handed on as it stands: "../x" is the caller's to refuse.
// One thread at a time per object.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "shared/format/entry.hpp"

namespace lamina::archive {

// Bytes from somewhere, in order.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Up to `into.size()` bytes, at least one; 0 at the end.
  virtual Result<std::size_t> read(std::span<std::byte> into) = 0;
  // Goes on behind up to `count` bytes, if that is cheaper than reading them; how many were
  // skipped.
  virtual Result<std::uint64_t> skip(std::uint64_t count) {
    static_cast<void>(count);
    return 0;
  }
};

// A file, from its start. Errors name `what`.
Result<std::unique_ptr<ByteSource>> open_source(const std::string& path, const std::string& what);

// A line of a POSIX ACL (acl(5)). Whom it is for is told by an id, or by a name alone: GNU tar
// writes names.
struct AclEntry {
  enum class Tag : std::uint16_t {  // The kernel's numbers.
    owner = 0x01,
    user = 0x02,
    owning_group = 0x04,
    group = 0x08,
    mask = 0x10,
    other = 0x20,
  };
  bool is_default = false;  // Of a directory, for what is made in it.
  Tag tag = Tag::owner;
  std::uint16_t permissions = 0;  // rwx as 4, 2, 1.
  std::optional<std::uint32_t> id;
  std::string name;
};

// The value of system.posix_acl_access or _default. Precondition: each user and group has an id.
std::string encode_acl(std::vector<AclEntry> lines);

struct Member {
  std::string name;  // As it stands in the archive.
  // Everything but path, owner's and group's names, and what is in the content: `size` is what the
  // header says, `chunks` and `extents` are empty. A hard link's target is as it stands.
  format::Entry entry;
  std::vector<AclEntry> acl;
  std::string warning;  // What libarchive had to say; mostly "".
};

class TarReader {
 public:
  // Limits of one member, for archives that lie. A file system of 4 KiB blocks (ext4(5)) has no
  // larger files.
  static constexpr std::uint64_t kFileMax = std::uint64_t{16} << 40;

  // `source` must outlive the reader. `corrupt` when it is no tar file. Errors name `what`.
  static Result<TarReader> open(ByteSource& source, std::string what);
  TarReader(TarReader&&) noexcept;
  TarReader& operator=(TarReader&&) = delete;
  ~TarReader();

  // The next member; nothing at the end. `corrupt` when the archive is broken or ends early,
  // `invalid`, naming the member, for what no entry can be. After an error drop the reader.
  Result<std::optional<Member>> next();

  // The content of the last member: ascending offsets, what lies between is a hole. Errors of
  // `take` are passed on.
  using Take = std::function<Status(std::uint64_t offset, ByteView bytes)>;
  Status read(const Take& take);

  // The same, as a source: an archive inside the archive. Ends with the next call of next().
  std::unique_ptr<ByteSource> content();

 private:
  struct State;
  explicit TarReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lamina::archive
