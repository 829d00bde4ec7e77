// Writer appends values to a buffer in the encoding that Reader accepts: little-endian fixed-size
// numbers, LEB128 varints of minimal length, byte strings with a varint length in front.
// One thread at a time.
#pragma once

#include <cstdint>

#include "shared/base/bytes.hpp"

namespace lamina {

class Writer {
 public:
  void u8(std::uint8_t value);
  void u16(std::uint16_t value);
  void u32(std::uint32_t value);
  void u64(std::uint64_t value);
  void varint(std::uint64_t value);
  // Signed: zigzag, then varint, so that small magnitudes stay short.
  void svarint(std::int64_t value);
  void raw(ByteView bytes);    // The bytes alone; the reader knows how many.
  void bytes(ByteView value);  // Length, then the bytes.
  void text(std::string_view value) { bytes(as_view(value)); }

  std::size_t size() const { return buffer_.size(); }
  ByteView view() const { return buffer_; }
  // Hands the buffer over and starts with an empty one.
  Buffer take();
  void clear() { buffer_.clear(); }

 private:
  Buffer buffer_;
};

}  // namespace lamina
