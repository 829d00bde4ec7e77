// XXH3, 64 bit: a checksum against accidents and a key for tables. Never a name for content that
// crosses a trust border. Pure; any thread.
#pragma once

#include <cstdint>

#include "shared/base/bytes.hpp"

namespace lamina {

std::uint64_t xxh3(ByteView bytes);

}  // namespace lamina
