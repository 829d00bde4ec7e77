#include "shared/image/diff.hpp"

#include <utility>

#include "shared/base/bytes.hpp"
#include "shared/format/path.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::image {

DiffStream::DiffStream(std::unique_ptr<format::EntryStream> before,
                       std::unique_ptr<format::EntryStream> after)
    : before_(std::move(before)), after_(std::move(after)) {}

Result<std::optional<Difference>> DiffStream::next() {
  if (std::exchange(need_old_, false)) {
    auto entry = before_->next();
    if (!entry) return fail(std::move(entry.error()));
    old_ = std::move(*entry);
  }
  if (std::exchange(need_new_, false)) {
    auto entry = after_->next();
    if (!entry) return fail(std::move(entry.error()));
    new_ = std::move(*entry);
  }
  if (!old_ && !new_) return std::nullopt;

  const auto order = !old_   ? std::strong_ordering::greater
                     : !new_ ? std::strong_ordering::less
                             : format::compare_paths(old_->path, new_->path);
  Difference difference;
  if (order <= 0) {
    difference.before = std::exchange(old_, std::nullopt);
    need_old_ = true;
  }
  if (order >= 0) {
    difference.after = std::exchange(new_, std::nullopt);
    need_new_ = true;
  }
  difference.change = order < 0                                 ? Change::removed
                      : order > 0                               ? Change::added
                      : *difference.before == *difference.after ? Change::same
                                                                : Change::changed;
  if (difference.after && difference.change == Change::same &&
      difference.after->kind == format::EntryKind::hard_link &&
      changed_.contains(xxh3(as_view(difference.after->target))))
    difference.change = Change::changed;
  else if (difference.change == Change::changed &&
           difference.after->kind != format::EntryKind::directory)
    changed_.insert(xxh3(as_view(difference.after->path)));
  return difference;
}

}  // namespace lamina::image
