// SHA-256 through OpenSSL, which uses the processor's SHA extensions where it has them.
// Values; an object belongs to one thread at a time.
#pragma once

#include <array>
#include <memory>

#include "shared/base/ids.hpp"

namespace lamina {

using Sha256Digest = std::array<std::byte, 32>;

// Digest of bytes that arrive piece by piece: update() any number of times, then finish() once;
// after that the object starts over with an empty message.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(ByteView bytes);
  Sha256Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Digest of one piece of memory.
Sha256Digest sha256(ByteView bytes);

// The id of content: `digest<ChunkId>(plain)`.
template <class Id>
Id digest(ByteView bytes) {
  return Id(sha256(bytes));
}

}  // namespace lamina
