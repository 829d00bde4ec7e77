// DiffStream: two trees side by side, path by path. Streaming; one thread at a time.
#pragma once

#include <memory>

#include "shared/format/entry.hpp"

namespace lamina::image {

enum class Change { added, removed, changed, same };

// One path of either tree. `before` is empty for an added path, `after` for a removed one.
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
};

}  // namespace lamina::image
