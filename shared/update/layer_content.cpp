#include "shared/update/layer_content.hpp"

#include <algorithm>
#include <memory>

namespace lamina::update {
namespace {

// Reads of a source go on where the last one ended: the chunk there is kept.
struct Reading {
  std::vector<std::uint64_t> starts;  // Of each chunk in the file.
  std::size_t at = SIZE_MAX;          // The chunk that is kept.
  Buffer bytes;

  // Precondition: within the file.
  Status read(const ContentFile& file, const format::ChunkSource& chunks, std::uint64_t offset,
              std::span<std::byte> into) {
    while (!into.empty()) {
      const auto next =
          static_cast<std::size_t>(std::ranges::upper_bound(starts, offset) - starts.begin() - 1);
      if (next != at) {
        auto chunk = chunks(file.chunks[next]);
        if (!chunk) return fail(std::move(chunk.error()));
        bytes = std::move(*chunk);
        at = next;
      }
      const auto skip = static_cast<std::size_t>(offset - starts[at]);
      const auto piece =
          ByteView(bytes).subspan(skip).first(std::min(into.size(), bytes.size() - skip));
      std::ranges::copy(piece, into.begin());
      into = into.subspan(piece.size());
      offset += piece.size();
    }
    return Done{};
  }
};

ContentFile file_of(format::Entry entry) {
  const std::uint64_t stored = entry.stored_bytes();
  ContentFile file{std::move(entry.path), stored, std::move(entry.chunks), {}};
  if (entry.sparse && entry.size / kHolesMost < stored) {
    file.size = entry.size;
    file.extents = std::move(entry.extents);
  }
  return file;
}

}  // namespace

std::set<ChunkId> LayerContent::chunks() const {
  std::set<ChunkId> ids;
  for (const format::ChunkRef& chunk : metadata) ids.insert(chunk.id);
  for (const ContentFile& file : files)
    for (const format::ChunkRef& chunk : file.chunks) ids.insert(chunk.id);
  return ids;
}

Result<LayerContent> read_content_of(const format::ManifestRef& manifest,
                                     const format::ChunkSource& source) {
  auto reader = format::ManifestReader::open(manifest, source);
  if (!reader) return fail(std::move(reader.error()));
  LayerContent content;
  std::set<ChunkId> seen;
  const auto add = [&](const format::ChunkRef& chunk) {
    if (seen.insert(chunk.id).second) content.metadata.push_back(chunk);
  };
  for (const format::ChunkRef& chunk : manifest.fence) add(chunk);
  for (const format::ChunkRef& chunk : (*reader)->entry_chunks()) add(chunk);
  (*reader)->on_list_chunk(add);
  for (;;) {
    auto entry = (*reader)->next();
    if (!entry) return fail(std::move(entry.error()));
    if (!*entry) return content;
    if ((*entry)->chunks.empty()) continue;
    content.files.push_back(file_of(std::move(**entry)));
  }
}

std::vector<ContentFile> changed_files(const LayerContent& next, const std::set<ChunkId>& had) {
  std::vector<ContentFile> changed;
  for (const ContentFile& file : next.files)
    if (std::ranges::any_of(file.chunks,
                            [&](const auto& chunk) { return !had.contains(chunk.id); }))
      changed.push_back(file);
  return changed;
}

std::vector<StoredPart> stored_parts(const ContentFile& file, std::uint64_t offset,
                                     std::uint64_t length) {
  if (file.extents.empty()) return {{0, length, offset}};
  std::vector<StoredPart> parts;
  std::uint64_t stored = 0;
  for (const format::Extent& extent : file.extents) {
    const std::uint64_t from = std::max(offset, extent.offset);
    const std::uint64_t to = std::min(offset + length, extent.offset + extent.length);
    if (from < to) parts.push_back({from - offset, to - from, stored + (from - extent.offset)});
    stored += extent.length;
  }
  return parts;
}

delta::Source source_of(const ContentFile& file, format::ChunkSource chunks) {
  const auto reading = std::make_shared<Reading>();
  std::uint64_t start = 0;
  for (const format::ChunkRef& chunk : file.chunks) {
    reading->starts.push_back(start);
    start += chunk.length;
  }
  return {file.size,
          [&file, chunks = std::move(chunks), reading](std::uint64_t offset,
                                                       std::span<std::byte> into) -> Status {
            const auto parts = stored_parts(file, offset, into.size());
            std::uint64_t covered = 0;
            for (const StoredPart& part : parts) covered += part.length;
            if (covered < into.size()) std::ranges::fill(into, std::byte{0});
            for (const auto& [part, length, stored] : parts) {
              const auto here =
                  into.subspan(static_cast<std::size_t>(part), static_cast<std::size_t>(length));
              if (auto done = reading->read(file, chunks, stored, here); !done) return done;
            }
            return Done{};
          }};
}

delta::Tree tree_of(const std::vector<ContentFile>& files, format::ChunkSource chunks) {
  delta::Tree tree;
  for (const ContentFile& file : files) tree.files.push_back({file.path, file.size});
  tree.open = [&files, chunks = std::move(chunks)](std::uint32_t number) -> Result<delta::Source> {
    if (number >= files.size())
      return fail(ErrorKind::corrupt, "a layer has no file number " + std::to_string(number));
    return source_of(files[number], chunks);
  };
  return tree;
}

}  // namespace lamina::update
