// Bytes whose number shows only at the end, in little more memory than they take: a vector that
// grows has them twice.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "shared/base/bytes.hpp"

namespace lamina {

class Gathered {
 public:
  // Room behind what there is, at most `most` bytes (at least one); wrote() says how many were
  // written to its front.
  std::span<std::byte> room(std::size_t most) {
    if (used_ == last().size()) {
      pieces_.emplace_back(kSizes[std::min(pieces_.size(), kSizes.size() - 1)]);
      used_ = 0;
    }
    const auto room = std::span(pieces_.back()).subspan(used_);
    return room.first(std::min(room.size(), most));
  }
  void wrote(std::size_t count) {
    used_ += count;
    size_ += count;
  }
  std::size_t size() const { return size_; }

  // All of them, in a buffer without room for more; nothing is left.
  Buffer take() {
    if (!pieces_.empty()) pieces_.back().resize(used_);
    Buffer all;
    all.reserve(size_);
    for (Buffer& piece : pieces_) {
      all.insert(all.end(), piece.begin(), piece.end());
      release(piece);
    }
    pieces_.clear();
    used_ = size_ = 0;
    return all;
  }

 private:
  // Most contents are small. What is freed of the last size goes back to the system:
  // shared/os/memory.hpp.
  static constexpr std::array<std::size_t, 3> kSizes = {
      std::size_t{16} << 10, std::size_t{256} << 10, std::size_t{1} << 20};
  const Buffer& last() const {
    static const Buffer kNone;
    return pieces_.empty() ? kNone : pieces_.back();
  }
  std::vector<Buffer> pieces_;
  std::size_t used_ = 0;  // Of the last one.
  std::size_t size_ = 0;
};

}  // namespace lamina
