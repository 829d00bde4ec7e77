#include "shared/hash/constant_time.hpp"

#include <openssl/crypto.h>

namespace lamina {

bool equal_in_constant_time(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace lamina
