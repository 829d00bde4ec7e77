// Entry: one path of a tree, with everything needed to make it again bit by bit.
//
// A value; any thread. `encode_entry` and `decode_entry` are the one encoding, used in manifests
// and in local state files; see FORMAT.md, "Entry".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"

namespace lamina::format {

enum class EntryKind : std::uint8_t {
  directory = 1,
  file = 2,
  symlink = 3,
  hard_link =
      4,  // Another name of a file (or other non-directory) that came earlier in path order.
  char_device = 5,
  block_device = 6,
  fifo = 7,
  whiteout = 8,  // A removal: hides the path, and all beneath it, of the layers below.
};
std::string_view name_of(EntryKind kind);  // "directory", "hard link", ...

// One chunk of content: its id and its plain length in bytes.
struct ChunkRef {
  ChunkId id;
  std::uint32_t length = 0;
  bool operator==(const ChunkRef&) const = default;
};

// A run of stored bytes of a sparse file; what lies between extents reads as zero and is a hole.
struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool operator==(const Extent&) const = default;
};

// An extended attribute, POSIX ACLs and file capabilities included, under its system name.
struct Attribute {
  std::string name;   // "user.comment", "security.capability", "system.posix_acl_access", ...
  std::string value;  // Any bytes.
  bool operator==(const Attribute&) const = default;
};

struct Entry {
  std::string path;
  EntryKind kind = EntryKind::file;
  std::uint32_t mode = 0;  // Permission bits with setuid, setgid and sticky: 07777.
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string owner;            // Name of `uid` in the tree's own accounts; "" where it has none.
  std::string group;            // Likewise for `gid`.
  std::int64_t mtime_ns = 0;    // Nanoseconds since 1970.
  std::uint64_t size = 0;       // Files: length in bytes, holes included.
  bool sparse = false;          // Files: `extents` says where the stored bytes lie.
  std::vector<Extent> extents;  // Ascending, not touching; empty and sparse = one hole.
  std::vector<ChunkRef>
      chunks;  // Files: the stored bytes, in order; a file's extents put together.
  // Files: the content is not the file's but what a layer changes in its records (FORMAT.md,
  // "Record changes"). Not of a sparse file, and in layers only.
  bool record_changes = false;
  std::string target;  // Symlink: its text. Hard link: the path of the first name.
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::vector<Attribute> attributes;  // Ascending by name.

  bool operator==(const Entry&) const = default;

  // The bytes that `chunks` must add up to.
  std::uint64_t stored_bytes() const;
};

constexpr std::size_t kAttributesMax = 128;
constexpr std::size_t kAttributeValueMax = 65536;       // XATTR_SIZE_MAX of Linux.
constexpr std::size_t kAttributeBytesMax = 256 * 1024;  // All of one entry.
constexpr std::size_t kOwnerNameMax = 256;
constexpr std::size_t kExtentsMax = 65536;
constexpr std::size_t kChunksPerFileMax = std::size_t{1} << 24;  // About 1 TB at 64 KiB a chunk.

// `invalid`, naming the path and what is wrong, unless every field keeps its limits and the fields
// agree with each other and with the kind (a directory has no chunks, lengths add up, ...).
Status check_entry(const Entry& entry);

// Appends `entry`, whose path shares a prefix with `previous_path` (the entry before it, "" at a
// start). Precondition: check_entry holds.
void encode_entry(const Entry& entry, std::string_view previous_path, Writer& out);

// The reverse. Chunk lists are bounded by the bytes that are left. `invalid` names the entry when
// its path could be read; the entry returned has passed check_entry.
Result<Entry> decode_entry(Reader& in, std::string_view previous_path);

// Appends and reads a list of chunk references (an entry's, or one kept apart from it).
void encode_chunk_refs(const std::vector<ChunkRef>& refs, Writer& out);
// The reader fails when the list is broken or longer than `limit`.
std::vector<ChunkRef> decode_chunk_refs(Reader& in, std::size_t limit);

// Entries in strictly ascending path order: a layer, a snapshot, a volume being walked.
class EntryStream {
 public:
  virtual ~EntryStream() = default;
  // The next entry; nothing at the end. After an error the stream must be dropped.
  virtual Result<std::optional<Entry>> next() = 0;
};

}  // namespace lamina::format
