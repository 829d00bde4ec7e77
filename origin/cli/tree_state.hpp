// TreeState: what a tree was at a moment, kept in a directory, so that a later capture takes only
// what has changed since.
//
//   <directory>/files        the scan state (shared/tree/scan_state.hpp)
//   <directory>/entries/     packs of the manifest, and of the files that are merged by record
//   <directory>/rules.toml   the administrator's own rules that it was looked at by; may be empty
//   <directory>/state        magic, the tree's path, the manifest's fence; written last
//
// Content of other files is not kept, its chunks' ids are. One thread.
#pragma once

#include <memory>
#include <string>

#include "shared/format/manifest.hpp"
#include "shared/store/pack_set.hpp"
#include "shared/store/pack_writer.hpp"
#include "shared/tree/capture.hpp"

namespace lamina::origin::cli {

// Entries on their way into a directory, and back.
class EntryStore {
 public:
  static Result<std::unique_ptr<EntryStore>> create(const std::string& directory);
  static Result<std::unique_ptr<EntryStore>> open(const std::string& directory);

  format::ChunkSink sink();
  ContentSink content_sink();
  Status finish();  // Of writing; from then on it can be read.
  // The store must outlive the reader.
  Result<std::unique_ptr<format::ManifestReader>> read(const format::ManifestRef& manifest);
  format::ChunkSource source() { return set_.source(); }  // Likewise.

 private:
  explicit EntryStore(PackFiles files) : files_(std::move(files)) {}
  Status open_packs();

  PackFiles files_;
  std::unique_ptr<PackWriter> writer_;
  PackSet set_;
};

struct TreeState {
  std::string tree;  // Its path.
  format::ManifestRef manifest;
};

std::string files_of(const std::string& directory);
std::string entries_of(const std::string& directory);
std::string rules_of(const std::string& directory);

// `not_found` when there is none, `corrupt` when it is damaged.
Result<TreeState> read_tree_state(const std::string& directory);
Status write_tree_state(const std::string& directory, const TreeState& state);

}  // namespace lamina::origin::cli
