// IncludedStream: those entries of a stream that a capture takes.
#pragma once

#include <memory>
#include <utility>

#include "shared/tree/walker.hpp"

namespace lamina::origin::cli {

class IncludedStream : public format::EntryStream {
 public:
  // `include` must outlive the stream. A directory that it leaves out hides all beneath it only as
  // far as it says so.
  IncludedStream(std::unique_ptr<format::EntryStream> inner, const Walker::Include& include)
      : inner_(std::move(inner)), include_(include) {}
  Result<std::optional<format::Entry>> next() override {
    for (;;) {
      auto entry = inner_->next();
      if (!entry || !*entry ||
          include_((*entry)->path, (*entry)->kind == format::EntryKind::directory))
        return entry;
    }
  }

 private:
  std::unique_ptr<format::EntryStream> inner_;
  const Walker::Include& include_;
};

}  // namespace lamina::origin::cli
