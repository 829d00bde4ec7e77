#include "shared/codec/writer.hpp"

#include <array>
#include <utility>

namespace lamina {
namespace {

template <class Number>
void append_little_endian(Buffer& buffer, Number value) {
  std::array<std::byte, sizeof value> bytes;
  for (std::size_t i = 0; i < sizeof value; ++i)
    bytes[i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
  buffer.insert(buffer.end(), bytes.begin(), bytes.end());
}

}  // namespace

void Writer::u8(std::uint8_t value) { append_little_endian(buffer_, value); }
void Writer::u16(std::uint16_t value) { append_little_endian(buffer_, value); }
void Writer::u32(std::uint32_t value) { append_little_endian(buffer_, value); }
void Writer::u64(std::uint64_t value) { append_little_endian(buffer_, value); }

void Writer::varint(std::uint64_t value) {
  while (value >= 0x80) {
    buffer_.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  buffer_.push_back(static_cast<std::byte>(value));
}

void Writer::svarint(std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  varint(bits << 1 ^ (value < 0 ? ~std::uint64_t{0} : 0));
}

void Writer::raw(ByteView bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }

void Writer::bytes(ByteView value) {
  varint(value.size());
  raw(value);
}

Buffer Writer::take() { return std::exchange(buffer_, {}); }

}  // namespace lamina
