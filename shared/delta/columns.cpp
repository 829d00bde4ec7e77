#include "shared/delta/columns.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "shared/base/assert.hpp"

namespace lamina::delta {
namespace {

template <class Number>
Number load(const std::byte* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

template <class Number>
void store(std::byte* at, Number number) {
  std::memcpy(at, &number, sizeof number);
}

constexpr std::size_t kWord = sizeof(std::uint32_t);

struct Rela {
  static constexpr std::size_t kSize = 24;
  static constexpr std::size_t kAddend = 16;
};

}  // namespace

void to_byte_planes(std::span<std::byte> bytes, std::size_t columns) {
  LAMINA_ASSERT(columns > 0);
  const std::size_t rows = bytes.size() / kWord / columns;
  Buffer planes(rows * columns * kWord);
  for (std::size_t column = 0; column < columns; ++column) {
    std::uint32_t before = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      const auto number = load<std::uint32_t>(&bytes[(row * columns + column) * kWord]);
      const std::uint32_t difference = number - before;
      before = number;
      for (std::size_t byte = 0; byte < kWord; ++byte)
        planes[(column * kWord + byte) * rows + row] =
            static_cast<std::byte>(difference >> (8 * byte));
    }
  }
  std::ranges::copy(planes, bytes.begin());
}

void from_byte_planes(std::span<std::byte> bytes, std::size_t columns) {
  LAMINA_ASSERT(columns > 0);
  const std::size_t rows = bytes.size() / kWord / columns;
  const Buffer planes = to_buffer(ByteView(bytes.first(rows * columns * kWord)));
  for (std::size_t column = 0; column < columns; ++column) {
    std::uint32_t number = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t byte = 0; byte < kWord; ++byte)
        number += std::to_integer<std::uint32_t>(planes[(column * kWord + byte) * rows + row])
                  << (8 * byte);
      store(&bytes[(row * columns + column) * kWord], number);
    }
  }
}

void to_rela_differences(std::span<std::byte> bytes) {
  std::uint64_t offset = 0;
  std::uint64_t addend = 0;
  for (std::size_t at = 0; at + Rela::kSize <= bytes.size(); at += Rela::kSize) {
    std::byte* const row = &bytes[at];
    const auto this_offset = load<std::uint64_t>(row);
    const auto this_addend = load<std::uint64_t>(row + Rela::kAddend);
    store(row, this_offset - offset);
    store(row + Rela::kAddend, this_addend - addend);
    offset = this_offset;
    addend = this_addend;
  }
}

void from_rela_differences(std::span<std::byte> bytes) {
  std::uint64_t offset = 0;
  std::uint64_t addend = 0;
  for (std::size_t at = 0; at + Rela::kSize <= bytes.size(); at += Rela::kSize) {
    std::byte* const row = &bytes[at];
    offset += load<std::uint64_t>(row);
    addend += load<std::uint64_t>(row + Rela::kAddend);
    store(row, offset);
    store(row + Rela::kAddend, addend);
  }
}

}  // namespace lamina::delta
