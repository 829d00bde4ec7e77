// MergeStream: a stack of layers as the one tree that they add up to.
//
// The last layer that has a path wins it. A whiteout hides its path and all beneath it in the
// layers below; so does a non-directory. A hard link means the file that its own layer has, or sees
// in those below: when a layer above replaced the first name, the link becomes that file, and
// further names of its group link to this one.
// Streaming: one entry per layer is held, the entries that were hidden, and the names of hard
// links. One thread at a time.
#pragma once

#include <functional>
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
  // Of a file that is merged by record: the files of lower layers that the last entry hid, base
  // first, with the layers' indexes. What a whiteout, or anything that is no file, hid in turn is
  // not among them. Of other paths nothing.
  struct Beneath {
    std::size_t layer;
    format::Entry entry;
  };
  const std::vector<Beneath>& beneath() const { return beneath_; }

 private:
  struct Hidden {  // Beneath `path`, entries of layers below `level` are hidden.
    std::string path;
    std::size_t level;
  };
  using Name = std::pair<std::size_t, std::string>;  // A path in a layer.
  struct Dropped {
    format::Entry entry;
    std::size_t winner;  // The layer that replaced it or hid it.
  };
  struct FirstName {
    std::string path;
    std::size_t winner;  // Over the name that was the first.
  };

  Status fill();
  Status advance(std::size_t layer);
  void drop(std::size_t layer, std::size_t winner);
  void relink(format::Entry& entry, std::size_t layer);
  Status check_parent(const format::Entry& entry);

  std::vector<std::unique_ptr<format::EntryStream>> layers_;
  std::vector<std::optional<format::Entry>> heads_;
  bool filled_ = false;
  std::vector<Hidden> hidden_;             // Nested scopes, outermost first.
  std::vector<std::string> directories_;   // Put out, from the outermost to the current.
  std::map<Name, Dropped> dropped_;        // Hidden entries that a hard link may name.
  std::map<Name, FirstName> first_names_;  // Of groups whose first name was hidden.
  std::map<std::string, std::string, std::less<>> links_;  // Put out, to their first names.
  std::size_t source_ = 0;
  std::vector<Beneath> beneath_;  // The last entry.
};

}  // namespace lamina::image
