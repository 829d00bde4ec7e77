// DiffStream: two trees side by side, path by path. Streaming; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_set>

#include "shared/format/entry.hpp"

namespace lamina::image {

enum class Change { added, removed, changed, same };

// One path of either tree. `before` is empty for an added path, `after` for a removed one. A hard
// link to a file that changed is changed itself, although its entry is the same.
struct Difference {
  Change change = Change::same;
  std::optional<format::Entry> before;
  std::optional<format::Entry> after;

  const std::string& path() const { return after ? after->path : before->path; }
};

class DiffStream {
 public:
  DiffStream(std::unique_ptr<format::EntryStream> before,
             std::unique_ptr<format::EntryStream> after);

  // Every path in path order, the unchanged ones included; nothing at the end. Errors of either
  // stream are passed on.
  Result<std::optional<Difference>> next();

 private:
  std::unique_ptr<format::EntryStream> before_, after_;
  std::optional<format::Entry> old_, new_;
  bool need_old_ = true, need_new_ = true;
  // XXH3 of every changed non-directory. A collision shows a link as changed that is not.
  std::unordered_set<std::uint64_t> changed_;
};

}  // namespace lamina::image
