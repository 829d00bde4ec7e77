// Bytes that come or go piece by piece, for what need not be in memory as a whole. Plain values; as
// thread-safe as what is behind them.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>

#include "shared/base/bytes.hpp"

namespace lamina {

// The next piece, valid until the next call; an empty one behind the last.
using NextPiece = std::function<Result<ByteView>()>;
// Who gives the pieces stops at an error and passes it on.
using TakePiece = std::function<Status(ByteView piece)>;

// All bytes as one piece; they must outlive it.
inline NextPiece pieces_of(ByteView all) {
  return [all]() mutable -> Result<ByteView> { return std::exchange(all, ByteView()); };
}
// Puts pieces behind what is in `all`, which must outlive it.
inline TakePiece append_to(Buffer& all) {
  return [&all](ByteView piece) -> Status {
    all.insert(all.end(), piece.begin(), piece.end());
    return Done{};
  };
}
// Whether pieces are those of `expected`: take() fails at the first difference. `expected` must
// outlive it.
class Comparison {
 public:
  explicit Comparison(ByteView expected) : left_(expected) {}
  TakePiece take() {
    return [this](ByteView piece) -> Status {
      if (piece.size() > left_.size() || !std::equal(piece.begin(), piece.end(), left_.begin()))
        return fail(ErrorKind::corrupt, "other bytes than expected");
      left_ = left_.subspan(piece.size());
      return Done{};
    };
  }
  bool is_whole() const { return left_.empty(); }

 private:
  ByteView left_;
};

}  // namespace lamina
