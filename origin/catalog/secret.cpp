#include "origin/catalog/secret.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "shared/hash/sha256.hpp"

namespace lamina::origin {

std::string sha256_hex(std::string_view text) { return to_hex(sha256(as_view(text))); }

Result<Buffer> random_bytes(std::size_t size) {
  Buffer bytes(size);
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(size)) != 1)
    return fail(ErrorKind::unavailable,
                "the operating system gave no random bytes; check getrandom(2)");
  return bytes;
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace lamina::origin
