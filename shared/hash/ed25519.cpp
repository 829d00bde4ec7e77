#include "shared/hash/ed25519.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>

#include "shared/base/assert.hpp"
#include "shared/hash/raw_key.hpp"

namespace lamina {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;

const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

}  // namespace

PrivateKey::PrivateKey(const std::array<std::byte, 32>& seed, const PublicKey& public_key)
    : seed_(seed),
      public_key_(public_key),
      key_(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(seed.data()), seed.size()),
           EVP_PKEY_free) {
  LAMINA_ASSERT(key_ != nullptr);
}

Result<PrivateKey> PrivateKey::generate() {
  auto made = make_raw_key(RawKeyKind::ed25519);
  if (!made) return fail(std::move(made.error()));
  return PrivateKey(made->secret, PublicKey(made->open));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  auto read = raw_key_from_pem(RawKeyKind::ed25519, pem);
  if (!read) return fail(std::move(read.error()));
  return PrivateKey(read->secret, PublicKey(read->open));
}

PrivateKey::~PrivateKey() { OPENSSL_cleanse(seed_.data(), seed_.size()); }

std::string PrivateKey::to_pem() const { return raw_key_to_pem(RawKeyKind::ed25519, seed_); }

Signature PrivateKey::sign(ByteView message) const {
  const Context context(EVP_MD_CTX_new());
  Signature signature;
  std::size_t size = signature.size();
  LAMINA_ASSERT(context != nullptr);
  LAMINA_ASSERT(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1);
  LAMINA_ASSERT(EVP_DigestSign(context.get(), raw(signature.data()), &size, raw(message.data()),
                               message.size()) == 1);
  return signature;
}

bool verify(const PublicKey& key, ByteView message, const Signature& signature) {
  const Key open(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(key.bytes().data()), 32));
  const Context context(EVP_MD_CTX_new());
  if (!open || !context) return false;
  return EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, open.get()) == 1 &&
         EVP_DigestVerify(context.get(), raw(signature.data()), signature.size(),
                          raw(message.data()), message.size()) == 1;
}

}  // namespace lamina
