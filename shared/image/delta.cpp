#include "shared/image/delta.hpp"

#include "shared/format/path.hpp"

namespace lamina::image {

Result<std::optional<format::Entry>> DeltaStream::next() {
  for (;;) {
    auto found = differences_.next();
    if (!found) return fail(std::move(found.error()));
    if (!*found) return std::optional<format::Entry>();
    Difference& difference = **found;
    if (difference.after) {
      if (difference.before && difference.before->kind == format::EntryKind::directory &&
          difference.after->kind != format::EntryKind::directory)
        hidden_ = difference.path();
      if (difference.change == Change::same) continue;
      return std::move(difference.after);
    }
    if (hidden_ && format::is_within(difference.path(), *hidden_)) continue;
    hidden_ = difference.path();
    return std::optional(
        format::Entry{.path = difference.path(), .kind = format::EntryKind::whiteout});
  }
}

}  // namespace lamina::image
