// Secrets of tokens and the digests that are stored in their place.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/bytes.hpp"

namespace lamina::origin {

// SHA-256 as 64 hex digits.
std::string sha256_hex(std::string_view text);

// `size` bytes of the operating system's randomness. `unavailable` when there is none.
Result<Buffer> random_bytes(std::size_t size);

// Compares in a time that depends on the lengths only.
bool same_secret(std::string_view a, std::string_view b);

}  // namespace lamina::origin
