#include "shared/hash/xxh3.hpp"

#include <xxhash.h>

namespace lamina {

std::uint64_t xxh3(ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace lamina
