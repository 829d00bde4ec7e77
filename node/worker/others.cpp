#include "node/worker/others.hpp"

#include <utility>

#include "shared/format/path.hpp"
#include "shared/tree/walker.hpp"

namespace lamina::node {
namespace {

class WithOthers : public format::EntryStream {
 public:
  WithOthers(std::unique_ptr<format::EntryStream> stack, const os::Root& volume,
             const image::Protection& protection)
      : stack_(std::move(stack)),
        walker_(
            volume,
            [&protection](const std::string& path, bool is_directory) {
              return !protection.stays_unowned(path, is_directory);
            },
            [](const Note&) {}) {}

  Result<std::optional<format::Entry>> next() override {
    if (!in_stack_ && !stack_ended_) {
      auto entry = stack_->next();
      if (!entry) return entry;
      in_stack_ = std::move(*entry);
      stack_ended_ = !in_stack_;
    }
    if (!on_volume_ && !volume_ended_) {
      auto found = walker_.next();
      // Where something is mounted, the directory stays.
      while (found && *found && (*found)->is_foreign) found = walker_.next();
      if (!found) return fail(std::move(found.error()).in("looking for what is in no layer"));
      if (*found) {
        on_volume_ = std::move((*found)->entry);
        on_volume_->size = 0;  // Its content was not read, and need not be: it leaves.
      }
      volume_ended_ = !on_volume_;
    }
    if (!in_stack_) return std::exchange(on_volume_, std::nullopt);
    const auto order = on_volume_ ? format::compare_paths(on_volume_->path, in_stack_->path)
                                  : std::strong_ordering::greater;
    if (order < 0) return std::exchange(on_volume_, std::nullopt);
    if (order == 0) on_volume_.reset();
    return std::exchange(in_stack_, std::nullopt);
  }

 private:
  std::unique_ptr<format::EntryStream> stack_;
  Walker walker_;
  std::optional<format::Entry> in_stack_, on_volume_;
  bool stack_ended_ = false;
  bool volume_ended_ = false;
};

}  // namespace

std::unique_ptr<format::EntryStream> with_others(std::unique_ptr<format::EntryStream> stack,
                                                 const os::Root& volume,
                                                 const image::Protection& protection) {
  return std::make_unique<WithOthers>(std::move(stack), volume, protection);
}

}  // namespace lamina::node
