// Zstandard (RFC 8878) for frames and manifests. The contexts are kept between calls: making one
// costs more than coding a small frame. One thread at a time per object.
#pragma once

#include <memory>

#include "shared/base/bytes.hpp"

namespace lamina {

class ZstdCompressor {
 public:
  // `level` 1 to 19. Above 9, memory and time grow steeply for little gain.
  explicit ZstdCompressor(int level);
  ~ZstdCompressor();
  ZstdCompressor(ZstdCompressor&&) noexcept;
  ZstdCompressor& operator=(ZstdCompressor&&) noexcept;

  Buffer compress(ByteView plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class ZstdDecompressor {
 public:
  ZstdDecompressor();
  ~ZstdDecompressor();
  ZstdDecompressor(ZstdDecompressor&&) noexcept;
  ZstdDecompressor& operator=(ZstdDecompressor&&) noexcept;

  // Decodes exactly one zstd frame into exactly `plain_size` bytes; the caller has bounded that
  // number. `corrupt` when the bytes are no such frame or decode to another size.
  Result<Buffer> decompress(ByteView coded, std::size_t plain_size);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lamina
