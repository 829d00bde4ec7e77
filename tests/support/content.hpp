// Content for tests: bytes that look like noise or like text, the same for the same seed.
#pragma once

#include <cstdint>

#include "shared/format/manifest.hpp"
#include "shared/hash/sha256.hpp"

namespace lamina::tests {

inline Buffer noise(std::size_t size, std::uint64_t seed) {
  Buffer bytes(size);
  for (auto& b : bytes)
    b = static_cast<std::byte>((seed = seed * 6364136223846793005U + 1442695040888963407U) >> 56);
  return bytes;
}

inline Buffer text(std::size_t size, std::uint64_t seed) {
  std::string words;
  while (words.size() < size) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    words += "word" + std::to_string(seed >> 58) + ' ';
  }
  words.resize(size);
  return to_buffer(words);
}

inline format::ChunkRef ref_of(ByteView plain) {
  return {digest<ChunkId>(plain), static_cast<std::uint32_t>(plain.size())};
}

}  // namespace lamina::tests
