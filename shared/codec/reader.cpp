#include "shared/codec/reader.hpp"

namespace lamina {
namespace {

std::uint64_t little_endian(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  return value;
}

}  // namespace

ByteView Reader::raw(std::size_t size) {
  if (failed_ || size > remaining()) {
    failed_ = true;
    return {};
  }
  const ByteView taken = bytes_.subspan(offset_, size);
  offset_ += size;
  return taken;
}

std::uint8_t Reader::u8() { return static_cast<std::uint8_t>(little_endian(raw(1))); }
std::uint16_t Reader::u16() { return static_cast<std::uint16_t>(little_endian(raw(2))); }
std::uint32_t Reader::u32() { return static_cast<std::uint32_t>(little_endian(raw(4))); }
std::uint64_t Reader::u64() { return little_endian(raw(8)); }

std::uint64_t Reader::varint(std::uint64_t limit) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    const std::uint8_t byte = u8();
    if (failed_) return 0;
    // The tenth byte holds only the top bit of a 64-bit number.
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      // A last byte of zero means that a shorter encoding exists.
      if ((byte == 0 && shift > 0) || value > limit) break;
      return value;
    }
  }
  failed_ = true;
  return 0;
}

std::int64_t Reader::svarint() {
  const std::uint64_t coded = varint();
  return static_cast<std::int64_t>(coded >> 1 ^ (~(coded & 1) + 1));
}

ByteView Reader::bytes(std::size_t limit) { return raw(varint(limit)); }

std::uint64_t Reader::count(std::size_t least_size) {
  const std::uint64_t value = varint();
  if (least_size > 0 && value > remaining() / least_size) failed_ = true;
  return failed_ ? 0 : value;
}

}  // namespace lamina
