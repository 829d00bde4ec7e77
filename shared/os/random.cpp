#include "shared/os/random.hpp"

#include <sys/random.h>

#include <cerrno>

#include "shared/base/assert.hpp"

namespace lamina::os {

void fill_random(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = getrandom(bytes.data(), bytes.size(), 0);
    // getrandom on a booted system fails only by interruption.
    LAMINA_ASSERT(n > 0 || errno == EINTR);
    if (n > 0) bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

std::uint64_t random_number() {
  std::uint64_t number = 0;
  fill_random(std::as_writable_bytes(std::span(&number, 1)));
  return number;
}

}  // namespace lamina::os
