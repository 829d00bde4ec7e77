#include "shared/hash/sha256.hpp"

#include <openssl/evp.h>

#include "shared/base/assert.hpp"

namespace lamina {
namespace {

// Fetched once: EVP_sha256() would look the algorithm up again for every digest, which costs more
// than hashing a small file.
const EVP_MD* algorithm() {
  static EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  LAMINA_ASSERT(fetched != nullptr);
  return fetched;
}

}  // namespace

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) {
    LAMINA_ASSERT(context != nullptr);
    start();
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void start() { LAMINA_ASSERT(EVP_DigestInit_ex2(context, algorithm(), nullptr) == 1); }

  EVP_MD_CTX* context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(ByteView bytes) {
  LAMINA_ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256::finish() {
  Sha256Digest result;
  unsigned size = 0;
  LAMINA_ASSERT(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(result.data()),
                                   &size) == 1);
  LAMINA_ASSERT(size == result.size());
  state_->start();
  return result;
}

Sha256Digest sha256(ByteView bytes) {
  thread_local Sha256 hasher;
  hasher.update(bytes);
  return hasher.finish();
}

}  // namespace lamina
