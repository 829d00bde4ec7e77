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

struct ContentFile {
  std::string path;
  std::uint64_t size = 0;  // Of the stored bytes: a sparse file's extents put together.
  std::vector<format::ChunkRef> chunks;
};

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
