// Random bytes from the kernel, fit for keys and tokens. Any thread.
#pragma once

#include <array>

#include "shared/base/bytes.hpp"

namespace lamina::os {

void fill_random(std::span<std::byte> bytes);

std::uint64_t random_number();

template <class Id>
Id random_id() {
  std::array<std::byte, Id::kSize> bytes;
  fill_random(bytes);
  return Id(bytes);
}

}  // namespace lamina::os
