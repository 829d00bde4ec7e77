#include "origin/catalog/secret.hpp"

#include "shared/hash/constant_time.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/os/random.hpp"

namespace lamina::origin {

std::string sha256_hex(std::string_view text) { return to_hex(sha256(as_view(text))); }

Result<Buffer> random_bytes(std::size_t size) {
  Buffer bytes(size);
  os::fill_random(bytes);
  return bytes;
}

bool same_secret(std::string_view a, std::string_view b) {
  return equal_in_constant_time(as_view(a), as_view(b));
}

}  // namespace lamina::origin
