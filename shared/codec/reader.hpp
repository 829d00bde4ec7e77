// Reader takes values from a view of untrusted bytes, in the encoding of Writer.
//
// Reading past the end, a varint longer than needed or a string over its limit makes the reader
// *failed*: from then on every call returns zero or empty, so that a parser may read a whole group
// and check once. A failed reader never recovers. Borrows the bytes; one thread at a time.
#pragma once

#include <cstdint>

#include "shared/base/bytes.hpp"

namespace lamina {

class Reader {
 public:
  explicit Reader(ByteView bytes) : bytes_(bytes) {}

  std::uint8_t u8();
  std::uint16_t u16();
  std::uint32_t u32();
  std::uint64_t u64();
  // Fails unless the varint has its minimal length and its value is at most `limit`.
  std::uint64_t varint(std::uint64_t limit = UINT64_MAX);
  std::int64_t svarint();
  ByteView raw(std::size_t size);
  // A byte string of at most `limit` bytes; the view lives as long as the bytes given to Reader.
  ByteView bytes(std::size_t limit);
  std::string text(std::size_t limit) { return std::string(as_text(bytes(limit))); }
  // An id of kind Id (ByteId<...>).
  template <class Id>
  Id id() {
    auto value = Id::from_bytes(raw(Id::kSize));
    return value ? *value : Id{};
  }
  // A count of things that take at least `least_size` bytes each: fails when the bytes that are
  // left cannot hold that many, so that no allocation follows a number alone.
  std::uint64_t count(std::size_t least_size);

  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return bytes_.size() - offset_; }
  bool failed() const { return failed_; }
  // Not failed, and every byte was used.
  bool finished() const { return !failed_ && remaining() == 0; }
  // Marks the input as broken, for checks that the caller makes.
  void set_failed() { failed_ = true; }

 private:
  ByteView bytes_;
  std::size_t offset_ = 0;
  bool failed_ = false;
};

}  // namespace lamina
