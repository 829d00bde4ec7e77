// MergeStream: a stack of layers as the one tree that they add up to.
//
// The last layer that has a path wins it. A whiteout hides its path and all beneath it in the
// layers below; so does a non-directory. A hard link whose first name another layer replaced
// becomes a file of its own, and further names of its group link to that one.
// Streaming: one entry per layer is held, and the entries that were hidden. One thread at a time.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "shared/format/entry.hpp"

namespace lamina::image {

class MergeStream : public format::EntryStream {
 public:
  // Base first. The streams are owned.
  explicit MergeStream(std::vector<std::unique_ptr<format::EntryStream>> layers);

  // No whiteout is ever put out. Errors of a layer are passed on. `invalid`, naming the path, when
  // an entry's parent is no directory in the merged tree.
  Result<std::optional<format::Entry>> next() override;

  // Index of the layer that the last entry came from.
  std::size_t source() const { return source_; }

 private:
  struct Hidden {  // Beneath `path`, entries of layers below `level` are hidden.
    std::string path;
    std::size_t level;
  };
  using Name = std::pair<std::size_t, std::string>;  // A path in a layer.

  Status fill();
  Status advance(std::size_t layer);
  void drop(std::size_t layer);
  void relink(format::Entry& entry, std::size_t layer);
  Status check_parent(const format::Entry& entry);

  std::vector<std::unique_ptr<format::EntryStream>> layers_;
  std::vector<std::optional<format::Entry>> heads_;
  bool filled_ = false;
  std::vector<Hidden> hidden_;               // Nested scopes, outermost first.
  std::vector<std::string> directories_;     // Put out, from the outermost to the current.
  std::map<Name, format::Entry> dropped_;    // Hidden entries that a hard link may name.
  std::map<Name, std::string> first_names_;  // Of groups whose first name was hidden.
  std::size_t source_ = 0;
};

}  // namespace lamina::image
