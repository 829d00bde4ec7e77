// Changes of rows as bytes, in the order in which they were made.
//
//   change = shared:varint rest:bytes value
//   value  = 0:varint                      the row is erased
//          | size + 1:varint size bytes    it is put
//
// A key is the first `shared` bytes of the key before it, then `rest`: the rows of one device or
// layer lie together, and have most of their keys in common. Plain values; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/result.hpp"
#include "shared/codec/writer.hpp"

namespace lamina::origin {

class RowChanges {
 public:
  void put(std::string_view key, std::string_view value);
  void erase(std::string_view key);

  bool empty() const { return bytes_.size() == 0; }
  ByteView bytes() const { return bytes_.view(); }
  void clear();

 private:
  void key(std::string_view key);

  Writer bytes_;
  std::string last_;
};

// Every change in `bytes`, until `visit` fails; no value: the row is erased. `corrupt` when they
// are no changes.
using VisitChange =
    std::function<Status(std::string_view key, std::optional<std::string_view> value)>;
Status for_each_change(ByteView bytes, const VisitChange& visit);

}  // namespace lamina::origin
