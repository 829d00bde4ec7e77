#include "shared/delta/x86_addresses.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "shared/base/assert.hpp"

namespace lamina::delta {
namespace {

constexpr std::size_t kLongest = 8;  // No pattern is longer; the last bytes stay as they are.

// The number of bytes in front of the 32-bit distance of the instruction at `code`, 0 if it is none
// that is known. The distance is the instruction's end.
std::size_t bytes_before_distance(const std::uint8_t* code) {
  constexpr std::array<std::uint8_t, 7> kWithRex = {0x8b, 0x8d, 0x89, 0x3b, 0x39, 0x63, 0x03};
  constexpr std::array<std::uint8_t, 6> kWith0f = {0x10, 0x28, 0xb6, 0xb7, 0x11, 0x29};
  const auto is_one_of = [](const auto& set, std::uint8_t byte) {
    return std::ranges::find(set, byte) != set.end();
  };
  const auto is_rip_relative = [](std::uint8_t mod_rm) { return (mod_rm & 0xc7) == 0x05; };
  if ((code[0] & 0xfe) == 0xe8) return 1;                          // call, jmp
  if (code[0] == 0x0f && (code[1] & 0xf0) == 0x80) return 2;       // jcc
  if ((code[0] & 0xf8) == 0x48 && is_one_of(kWithRex, code[1]) &&  // mov, lea, cmp, ...
      is_rip_relative(code[2]))
    return 3;
  if (code[0] == 0xff && (code[1] == 0x15 || code[1] == 0x25)) return 2;  // call [], jmp []
  if (code[0] == 0x0f && is_one_of(kWith0f, code[1]) && is_rip_relative(code[2]))
    return 3;  // SSE loads and stores, movzx
  return 0;
}

enum class Way { to_places, to_distances };

// `end`: the instruction's end in the image. Maps [-end, size - end) to [0, size) and the rest of
// [-end, size) to [-end, 0); what is outside stays.
void change(std::uint8_t* distance, std::int64_t end, std::int64_t size, Way way) {
  std::int32_t value = 0;
  std::memcpy(&value, distance, sizeof value);
  std::int64_t changed = value;
  if (changed < -end || changed >= size) return;
  if (way == Way::to_places)
    changed += changed < size - end ? end : -size;
  else
    changed += changed >= 0 ? -end : size;
  value = static_cast<std::int32_t>(changed);
  std::memcpy(distance, &value, sizeof value);
}

std::size_t change_all(std::span<std::byte> code, std::uint64_t address, std::uint64_t image_size,
                       Way way) {
  LAMINA_ASSERT(image_size <= INT32_MAX && address <= image_size &&
                code.size() <= image_size - address);
  auto* const bytes = reinterpret_cast<std::uint8_t*>(code.data());
  std::size_t at = 0;
  while (at + kLongest <= code.size()) {
    const std::size_t before = bytes_before_distance(bytes + at);
    if (before == 0) {
      ++at;
      continue;
    }
    const std::size_t length = before + sizeof(std::int32_t);
    change(bytes + at + before, static_cast<std::int64_t>(address + at + length),
           static_cast<std::int64_t>(image_size), way);
    at += length;
  }
  return at;
}

}  // namespace

std::size_t to_places(std::span<std::byte> code, std::uint64_t address, std::uint64_t image_size) {
  return change_all(code, address, image_size, Way::to_places);
}

std::size_t to_distances(std::span<std::byte> code, std::uint64_t address,
                         std::uint64_t image_size) {
  return change_all(code, address, image_size, Way::to_distances);
}

}  // namespace lamina::delta
