// LayerContent: what of a layer an update is made of: its files as a tree of shared/delta, and the
// chunks that its manifest is stored in. Sender and receiver read it from the same manifests, so
// that a file's number means the same to both.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "shared/delta/update.hpp"
#include "shared/format/manifest.hpp"

namespace lamina::update {

// A sparse file counts with its holes as zeros: a copy without them is the same content. One that
// is mostly holes, kHolesMost times as long as what is stored of it, counts as its extents put
// together.
constexpr std::uint64_t kHolesMost = 2;

struct ContentFile {
  std::string path;
  std::uint64_t size = 0;
  std::vector<format::ChunkRef> chunks;
  std::vector<format::Extent> extents;  // Where the chunks' bytes lie in it; empty: all of it.
};

// The parts of a run of a file's bytes that lie in its chunks, in order: `part` is one's place in
// the run, `stored` that of its first byte in the chunks put together.
struct StoredPart {
  std::uint64_t part = 0;
  std::uint64_t length = 0;
  std::uint64_t stored = 0;
};
std::vector<StoredPart> stored_parts(const ContentFile& file, std::uint64_t offset,
                                     std::uint64_t length);

struct LayerContent {
  std::vector<ContentFile> files;          // That have content, in the manifest's order.
  std::vector<format::ChunkRef> metadata;  // Each once, in the order in which a reader meets them.

  // Of both kinds.
  std::set<ChunkId> chunks() const;
};
// Memory: about 100 bytes a file and 40 a chunk. Errors are those of the manifest's reader.
Result<LayerContent> read_content_of(const format::ManifestRef& manifest,
                                     const format::ChunkSource& source);

// The files of which `had` lacks some chunk: what an update from a layer with those is about.
std::vector<ContentFile> changed_files(const LayerContent& next, const std::set<ChunkId>& had);

// The bytes of a file, which must outlive the source; `chunks` gives its chunks.
delta::Source source_of(const ContentFile& file, format::ChunkSource chunks);
// The files must outlive the tree.
delta::Tree tree_of(const std::vector<ContentFile>& files, format::ChunkSource chunks);

}  // namespace lamina::update
