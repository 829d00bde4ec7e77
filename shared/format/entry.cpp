#include "shared/format/entry.hpp"

#include <algorithm>

#include "shared/format/path.hpp"

namespace lamina::format {
namespace {

constexpr std::uint8_t kSparse = 1, kRecordChanges = 2;  // Flag bits of an encoded entry.

bool has_content(EntryKind kind) { return kind == EntryKind::file; }
bool has_target(EntryKind kind) {
  return kind == EntryKind::symlink || kind == EntryKind::hard_link;
}
bool is_device(EntryKind kind) {
  return kind == EntryKind::char_device || kind == EntryKind::block_device;
}
// A hard link's metadata is its first name's, and a removal has none.
bool has_metadata(EntryKind kind) {
  return kind != EntryKind::hard_link && kind != EntryKind::whiteout;
}

const char* wrong_extents(const Entry& entry) {
  if (entry.extents.size() > kExtentsMax) return "has too many extents";
  std::uint64_t end = 0;
  bool first = true;
  for (const Extent& extent : entry.extents) {
    if (extent.length == 0 || extent.offset > entry.size ||
        extent.length > entry.size - extent.offset)
      return "has an extent outside the file";
    if (!first && extent.offset <= end) return "has extents out of order";
    end = extent.offset + extent.length;
    first = false;
  }
  return nullptr;
}

const char* wrong_content(const Entry& entry) {
  if (!has_content(entry.kind))
    return entry.size == 0 && entry.chunks.empty() && !entry.sparse && entry.extents.empty() &&
                   !entry.record_changes
               ? nullptr
               : "has content but is no file";
  if (entry.size > INT64_MAX) return "is too large";
  if (!entry.sparse && !entry.extents.empty()) return "has extents but is not sparse";
  if (entry.sparse && entry.record_changes) return "holds record changes but is sparse";
  if (const char* wrong = wrong_extents(entry)) return wrong;
  if (entry.chunks.size() > kChunksPerFileMax) return "has too many chunks";
  std::uint64_t total = 0;
  for (const ChunkRef& chunk : entry.chunks) {
    if (chunk.length == 0) return "has an empty chunk";
    total += chunk.length;
  }
  return total == entry.stored_bytes() ? nullptr : "has chunks that do not add up to its size";
}

const char* wrong_attributes(const Entry& entry) {
  if (entry.attributes.size() > kAttributesMax) return "has too many attributes";
  std::size_t total = 0;
  for (std::size_t i = 0; i < entry.attributes.size(); ++i) {
    const auto& [name, value] = entry.attributes[i];
    if (name.empty() || name.size() > kComponentMax || name.find('\0') != std::string::npos)
      return "has an attribute with a bad name";
    if (value.size() > kAttributeValueMax) return "has an attribute larger than 64 KiB";
    if (i > 0 && entry.attributes[i - 1].name >= name) return "has attributes out of order";
    total += name.size() + value.size();
  }
  return total <= kAttributeBytesMax ? nullptr : "has more than 256 KiB of attributes";
}

const char* wrong_target(const Entry& entry) {
  if (!has_target(entry.kind))
    return entry.target.empty() ? nullptr : "has a target but is no link";
  if (entry.target.empty() || entry.target.size() > kPathMax ||
      entry.target.find('\0') != std::string::npos)
    return "has a bad link target";
  if (entry.kind == EntryKind::hard_link &&
      (!check_path(entry.target) || compare_paths(entry.target, entry.path) >= 0))
    return "is a hard link to a path that is bad or does not come before it";
  return nullptr;
}

const char* wrong_metadata(const Entry& entry) {
  if (entry.mode > 07777) return "has mode bits beyond 07777";
  for (const std::string* name : {&entry.owner, &entry.group})
    if (name->size() > kOwnerNameMax || name->find('\0') != std::string::npos)
      return "has a bad owner name";
  if (!is_device(entry.kind) && (entry.device_major != 0 || entry.device_minor != 0))
    return "has a device number but is no device";
  if (!has_metadata(entry.kind) &&
      (entry.mode != 0 || entry.uid != 0 || entry.gid != 0 || !entry.owner.empty() ||
       !entry.group.empty() || entry.mtime_ns != 0 || !entry.attributes.empty()))
    return "has metadata that its kind cannot have";
  return nullptr;
}

}  // namespace

std::string_view name_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::directory: return "directory";
    case EntryKind::file: return "file";
    case EntryKind::symlink: return "symlink";
    case EntryKind::hard_link: return "hard link";
    case EntryKind::char_device: return "character device";
    case EntryKind::block_device: return "block device";
    case EntryKind::fifo: return "fifo";
    case EntryKind::whiteout: return "whiteout";
  }
  return "unknown";
}

std::uint64_t Entry::stored_bytes() const {
  if (!sparse) return size;
  std::uint64_t total = 0;
  for (const Extent& extent : extents) total += extent.length;
  return total;
}

Status check_entry(const Entry& entry) {
  if (auto good = check_path(entry.path); !good) return good;
  const char* wrong = nullptr;
  if (entry.path.empty() && entry.kind != EntryKind::directory)
    wrong = "is the root but no directory";
  if (wrong == nullptr) wrong = wrong_metadata(entry);
  if (wrong == nullptr) wrong = wrong_target(entry);
  if (wrong == nullptr) wrong = wrong_attributes(entry);
  if (wrong == nullptr) wrong = wrong_content(entry);
  if (wrong == nullptr) return Done{};
  return fail(ErrorKind::invalid, "entry '" + printable(entry.path, 200) + "' " + wrong);
}

void encode_chunk_refs(const std::vector<ChunkRef>& refs, Writer& out) {
  out.varint(refs.size());
  for (const ChunkRef& ref : refs) {
    out.raw(ref.id.bytes());
    out.varint(ref.length);
  }
}

std::vector<ChunkRef> decode_chunk_refs(Reader& in, std::size_t limit) {
  const std::uint64_t count = in.count(ChunkId::kSize + 1);
  if (count > limit) in.set_failed();
  if (in.failed()) return {};
  std::vector<ChunkRef> refs(count);
  for (ChunkRef& ref : refs) {
    ref.id = in.id<ChunkId>();
    ref.length = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
  }
  return refs;
}

void encode_entry(const Entry& entry, std::string_view previous_path, Writer& out) {
  const auto shared = static_cast<std::size_t>(
      std::ranges::mismatch(entry.path, previous_path).in1 - entry.path.begin());
  out.varint(shared);
  out.text(std::string_view(entry.path).substr(shared));
  out.u8(static_cast<std::uint8_t>(entry.kind));
  if (has_metadata(entry.kind)) {
    out.varint(entry.mode);
    out.varint(entry.uid);
    out.varint(entry.gid);
    out.text(entry.owner);
    out.text(entry.group);
    out.svarint(entry.mtime_ns);
    out.varint(entry.attributes.size());
    for (const auto& [name, value] : entry.attributes) {
      out.text(name);
      out.text(value);
    }
  }
  if (has_content(entry.kind)) {
    out.u8((entry.sparse ? kSparse : 0) | (entry.record_changes ? kRecordChanges : 0));
    out.varint(entry.size);
    if (entry.sparse) {
      out.varint(entry.extents.size());
      for (const Extent& extent : entry.extents) {
        out.varint(extent.offset);
        out.varint(extent.length);
      }
    }
    encode_chunk_refs(entry.chunks, out);
  }
  if (has_target(entry.kind)) out.text(entry.target);
  if (is_device(entry.kind)) {
    out.varint(entry.device_major);
    out.varint(entry.device_minor);
  }
}

Result<Entry> decode_entry(Reader& in, std::string_view previous_path) {
  Entry entry;
  const auto shared = in.varint(previous_path.size());
  const ByteView rest = in.bytes(kPathMax);
  if (in.failed()) return fail(ErrorKind::invalid, "an entry's path is cut off or too long");
  entry.path = std::string(previous_path.substr(0, shared)) + std::string(as_text(rest));
  // One encoding a path: the shared prefix is as long as it can be.
  if (shared < previous_path.size() && !rest.empty() &&
      static_cast<char>(rest.front()) == previous_path[shared])
    return fail(ErrorKind::invalid,
                "entry '" + printable(entry.path, 200) + "' is not in its shortest form");
  const std::uint8_t kind = in.u8();
  if (kind < 1 || kind > 8)
    return fail(ErrorKind::invalid, "entry '" + printable(entry.path, 200) + "' has unknown kind " +
                                        std::to_string(kind));
  entry.kind = static_cast<EntryKind>(kind);
  if (has_metadata(entry.kind)) {
    entry.mode = static_cast<std::uint32_t>(in.varint(07777));
    entry.uid = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
    entry.gid = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
    entry.owner = in.text(kOwnerNameMax);
    entry.group = in.text(kOwnerNameMax);
    entry.mtime_ns = in.svarint();
    const std::uint64_t count = in.count(2);
    if (count > kAttributesMax) in.set_failed();
    for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
      std::string name = in.text(kComponentMax);
      entry.attributes.push_back({std::move(name), in.text(kAttributeValueMax)});
    }
  }
  if (has_content(entry.kind)) {
    const std::uint8_t flags = in.u8();
    if (flags > (kSparse | kRecordChanges)) in.set_failed();
    entry.sparse = (flags & kSparse) != 0;
    entry.record_changes = (flags & kRecordChanges) != 0;
    entry.size = in.varint();
    if (entry.sparse) {
      const std::uint64_t count = in.count(2);
      if (count > kExtentsMax) in.set_failed();
      for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
        const std::uint64_t offset = in.varint();
        entry.extents.push_back({offset, in.varint()});
      }
    }
    entry.chunks = decode_chunk_refs(in, kChunksPerFileMax);
  }
  if (has_target(entry.kind)) entry.target = in.text(kPathMax);
  if (is_device(entry.kind)) {
    entry.device_major = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
    entry.device_minor = static_cast<std::uint32_t>(in.varint(UINT32_MAX));
  }
  if (in.failed())
    return fail(ErrorKind::invalid,
                "entry '" + printable(entry.path, 200) + "' is cut off or breaks a limit");
  if (auto good = check_entry(entry); !good) return fail(std::move(good.error()));
  return entry;
}

}  // namespace lamina::format
