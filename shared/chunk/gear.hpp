// The gear table: one random 64-bit number a byte value, for rolling hashes over the last 64 bytes:
// hash = (hash << 1) + gear[byte]. Part of the chunker's format.
#pragma once

#include <array>
#include <cstdint>

namespace lamina {

// From SplitMix64 (Steele et al., OOPSLA 2014) with seed 0: reproducible from this text alone.
constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t state = 0;
  for (auto& value : gear) {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    value = z ^ z >> 31;
  }
  return gear;
}
inline constexpr auto kGear = make_gear();

}  // namespace lamina
