// ConflictStream: which entries of some layers are hidden by others of them.
//
// An entry is hidden when a layer above says otherwise about its path: another entry there, a
// whiteout, or a non-directory above it. Times do not count, nor do ids where the names agree: two
// captures on one base conflict where they would differ on a device. Files that are merged by
// record, derived files and what factory rules cover conflict with nothing. Streaming; one thread
// at a time.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "shared/format/entry.hpp"

namespace lamina::image {

struct Conflict {
  std::string path;
  std::size_t hidden = 0;  // Indexes of the layers.
  std::size_t winner = 0;  // The highest one that says something about the path.
  bool operator==(const Conflict&) const = default;
};

class ConflictStream {
 public:
  // In the order in which they would be applied. The streams are owned.
  explicit ConflictStream(std::vector<std::unique_ptr<format::EntryStream>> layers);

  // In path order, then by `hidden`; nothing at the end. Errors of a layer are passed on.
  Result<std::optional<Conflict>> next();

 private:
  struct Hidden {  // Beneath `path`, entries of layers below `level` are hidden by that one.
    std::string path;
    std::size_t level;
  };

  Result<bool> compare_next_path();

  std::vector<std::unique_ptr<format::EntryStream>> layers_;
  std::vector<std::optional<format::Entry>> heads_;
  bool filled_ = false;
  std::vector<Hidden> hidden_;  // Nested scopes, outermost first.
  std::deque<Conflict> found_;
};

}  // namespace lamina::image
