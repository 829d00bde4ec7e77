// Ids for tests: small numbers instead of digests.
#pragma once

#include <array>

#include "shared/base/ids.hpp"

namespace lamina::tests {

// An id whose last byte is `n`: ids of larger numbers are larger. 0 to 255.
template <class Id>
Id id_of(int n) {
  std::array<std::byte, Id::kSize> bytes{};
  bytes.back() = static_cast<std::byte>(n);
  return Id(bytes);
}

}  // namespace lamina::tests
