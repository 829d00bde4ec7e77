// What gets a mutated input past a checksum: no mutation does by chance.
#pragma once

#include <algorithm>

#include "shared/codec/writer.hpp"
#include "shared/hash/xxh3.hpp"

namespace lamina::tests {

// `input` with its last 8 bytes replaced by the checksum (XXH3) of those before.
inline Buffer with_own_checksum(ByteView input) {
  Writer sealed;
  sealed.raw(input.first(input.size() - std::min<std::size_t>(input.size(), 8)));
  sealed.u64(xxh3(sealed.view()));
  return sealed.take();
}

}  // namespace lamina::tests
