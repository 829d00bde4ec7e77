// Entries in memory as a stream; without entries the empty tree.
#pragma once

#include <utility>
#include <vector>

#include "shared/format/entry.hpp"

namespace lamina::image {

class ListStream : public format::EntryStream {
 public:
  ListStream() = default;
  // Precondition: strictly ascending in path order.
  explicit ListStream(std::vector<format::Entry> entries) : entries_(std::move(entries)) {}

  Result<std::optional<format::Entry>> next() override {
    if (at_ == entries_.size()) return std::nullopt;
    return std::optional(std::move(entries_[at_++]));
  }

 private:
  std::vector<format::Entry> entries_;
  std::size_t at_ = 0;
};

}  // namespace lamina::image
