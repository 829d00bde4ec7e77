#include "shared/hash/ed25519.hpp"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include "shared/base/assert.hpp"

namespace lamina {
namespace {

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Context = std::unique_ptr<EVP_MD_CTX, Free>;
using Memory = std::unique_ptr<BIO, Free>;

const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

Key private_key(const std::array<std::byte, 32>& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw(seed.data()), seed.size()));
  LAMINA_ASSERT(key != nullptr);
  return key;
}

}  // namespace

Result<PrivateKey> PrivateKey::generate() {
  const Key made(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  if (!made) return fail(ErrorKind::unavailable, "the system's random source made no Ed25519 key");
  PrivateKey key;
  std::size_t size = key.seed_.size();
  LAMINA_ASSERT(EVP_PKEY_get_raw_private_key(made.get(), raw(key.seed_.data()), &size) == 1);
  std::array<std::byte, 32> open{};
  size = open.size();
  LAMINA_ASSERT(EVP_PKEY_get_raw_public_key(made.get(), raw(open.data()), &size) == 1);
  key.public_key_ = PublicKey(open);
  return key;
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  const auto wrong = [] {
    return fail(ErrorKind::invalid, "not an unencrypted Ed25519 private key in PEM form");
  };
  const Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!memory) return wrong();
  // The callback answers "no passphrase": without it OpenSSL would ask on the terminal.
  const Key read(PEM_read_bio_PrivateKey(
      memory.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (!read || EVP_PKEY_get_id(read.get()) != EVP_PKEY_ED25519) return wrong();
  PrivateKey key;
  std::size_t size = key.seed_.size();
  std::array<std::byte, 32> open{};
  std::size_t open_size = open.size();
  if (EVP_PKEY_get_raw_private_key(read.get(), raw(key.seed_.data()), &size) != 1 ||
      EVP_PKEY_get_raw_public_key(read.get(), raw(open.data()), &open_size) != 1)
    return wrong();
  key.public_key_ = PublicKey(open);
  return key;
}

PrivateKey::~PrivateKey() { OPENSSL_cleanse(seed_.data(), seed_.size()); }

std::string PrivateKey::to_pem() const {
  const Memory memory(BIO_new(BIO_s_secmem()));
  LAMINA_ASSERT(memory != nullptr);
  LAMINA_ASSERT(PEM_write_bio_PKCS8PrivateKey(memory.get(), private_key(seed_).get(), nullptr,
                                              nullptr, 0, nullptr, nullptr) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

Signature PrivateKey::sign(ByteView message) const {
  const Key key = private_key(seed_);
  const Context context(EVP_MD_CTX_new());
  Signature signature;
  std::size_t size = signature.size();
  LAMINA_ASSERT(context != nullptr);
  LAMINA_ASSERT(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
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
