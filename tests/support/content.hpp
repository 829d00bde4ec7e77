// Content for tests: bytes that look like noise or like text, the same for the same seed.
#pragma once

#include <cstdint>

#include "shared/base/pieces.hpp"
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

// `all`, which must outlive it, in pieces of up to `most` bytes whose lengths differ.
inline NextPiece cut(ByteView all, std::size_t most) {
  return [all, most, seed = std::uint64_t{1}]() mutable -> Result<ByteView> {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    const auto piece = all.first(std::min<std::size_t>(all.size(), 1 + (seed >> 33) % most));
    all = all.subspan(piece.size());
    return piece;
  };
}

inline format::ChunkRef ref_of(ByteView plain) {
  return {digest<ChunkId>(plain), static_cast<std::uint32_t>(plain.size())};
}

}  // namespace lamina::tests
