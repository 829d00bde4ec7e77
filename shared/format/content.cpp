#include "shared/format/content.hpp"

#include <algorithm>

#include "shared/hash/sha256.hpp"

namespace lamina::format {

Result<std::string> read_content(const Entry& entry, const ChunkSource& source, std::size_t limit) {
  const std::string what = "'" + printable(entry.path, 200) + "'";
  if (entry.size > limit)
    return fail(ErrorKind::invalid, what + " has " + std::to_string(entry.size) +
                                        " bytes; at most " + std::to_string(limit) +
                                        " are read as a whole");
  std::string stored;
  for (const ChunkRef& ref : entry.chunks) {
    auto bytes = source(ref);
    if (!bytes) return fail(std::move(bytes.error()).in(what));
    stored += as_text(*bytes);
  }
  // check_entry made sure of it, where the source keeps its word.
  if (stored.size() != entry.stored_bytes())
    return fail(ErrorKind::corrupt, what + " has chunks that do not add up to its size");
  if (!entry.sparse) return stored;
  std::string bytes(static_cast<std::size_t>(entry.size), '\0');
  std::size_t at = 0;
  for (const Extent& extent : entry.extents) {
    const auto length = static_cast<std::size_t>(extent.length);
    bytes.replace(static_cast<std::size_t>(extent.offset), length, stored, at, length);
    at += length;
  }
  return bytes;
}

void MadeContent::set(Entry& entry, std::string_view bytes) {
  entry.size = bytes.size();
  entry.sparse = false;
  entry.extents.clear();
  entry.record_changes = false;
  entry.chunks.clear();
  const ChunkLimits limits;
  for (ByteView rest = as_view(bytes); !rest.empty();) {
    const ByteView chunk = rest.first(first_cut(rest, limits));
    rest = rest.subspan(chunk.size());
    const auto id = digest<ChunkId>(chunk);
    entry.chunks.push_back({id, static_cast<std::uint32_t>(chunk.size())});
    chunks_.try_emplace(id, to_buffer(chunk));
  }
}

ChunkSource MadeContent::source(ChunkSource other) const {
  return [this, other = std::move(other)](const ChunkRef& ref) -> Result<Buffer> {
    const auto made = chunks_.find(ref.id);
    return made == chunks_.end() ? other(ref) : Result<Buffer>(made->second);
  };
}

}  // namespace lamina::format
