// Coding of bytes against a reference that the receiver has: what both share costs next to nothing.
//
// zstd takes the reference as the prefix of its window, LZMA2 as a preset dictionary. Either
// decodes only with the very same reference: another one gives other bytes or an error, and the
// caller's digest decides. Without a reference (no bytes) both are plain coders; nothing codes to
// nothing. One thread at a time per object; it keeps its contexts between calls.
#pragma once

#include <memory>
#include <span>

#include "shared/base/bytes.hpp"

namespace lamina {

class ReferencedCoder {
 public:
  // Bytes of reference and plain together that a coder takes: a quarter of what zstd addresses.
  static constexpr std::size_t kMost = std::size_t{1} << 30;

  ReferencedCoder();
  ~ReferencedCoder();
  ReferencedCoder(ReferencedCoder&&) noexcept;
  ReferencedCoder& operator=(ReferencedCoder&&) noexcept;

  // `level` 1 to 19. Preconditions of both: no more than kMost bytes; reference and plain do not
  // overlap in memory, or zstd makes no use of the reference.
  Buffer with_zstd(ByteView plain, ByteView reference, int level);
  // Several times the work of zstd at level 9, and on program code a fifth fewer bytes. Memory: 10
  // times the bytes of both. The dictionary covers both up to kLzmaDictionaryMax.
  Buffer with_lzma2(ByteView plain, ByteView reference);

  // Exactly plain.size() bytes; `corrupt` when the coded bytes are anything else. What `plain`
  // holds after an error means nothing. Memory: LZMA2 takes its dictionary on top.
  Status decode_zstd(ByteView coded, ByteView reference, std::span<std::byte> plain);
  Status decode_lzma2(ByteView coded, ByteView reference, std::span<std::byte> plain);

  static constexpr std::size_t kLzmaDictionaryMax = std::size_t{64} << 20;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamina
