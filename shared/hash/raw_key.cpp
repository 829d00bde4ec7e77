#include "shared/hash/raw_key.hpp"

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
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Memory = std::unique_ptr<BIO, Free>;

const char* name_of(RawKeyKind kind) { return kind == RawKeyKind::ed25519 ? "ED25519" : "X25519"; }
int type_of(RawKeyKind kind) {
  return kind == RawKeyKind::ed25519 ? EVP_PKEY_ED25519 : EVP_PKEY_X25519;
}

bool read_out(const Key& key, RawKeyPair& pair) {
  std::size_t secret_size = pair.secret.size();
  std::size_t open_size = pair.open.size();
  return EVP_PKEY_get_raw_private_key(
             key.get(), reinterpret_cast<unsigned char*>(pair.secret.data()), &secret_size) == 1 &&
         EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(pair.open.data()),
                                     &open_size) == 1;
}

}  // namespace

RawKeyPair::~RawKeyPair() { OPENSSL_cleanse(secret.data(), secret.size()); }

Result<RawKeyPair> make_raw_key(RawKeyKind kind) {
  const Key made(EVP_PKEY_Q_keygen(nullptr, nullptr, name_of(kind)));
  if (!made)
    return fail(ErrorKind::unavailable,
                std::string("the system's random source made no ") + name_of(kind) + " key");
  RawKeyPair pair;
  LAMINA_ASSERT(read_out(made, pair));
  return pair;
}

Result<RawKeyPair> raw_key_from_pem(RawKeyKind kind, std::string_view pem) {
  const auto wrong = [kind] {
    return fail(ErrorKind::invalid, std::string("not an unencrypted ") +
                                        (kind == RawKeyKind::ed25519 ? "Ed25519" : "X25519") +
                                        " private key in PEM form");
  };
  const Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!memory) return wrong();
  // The callback answers "no passphrase": without it OpenSSL would ask on the terminal.
  const Key read(PEM_read_bio_PrivateKey(
      memory.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (!read || EVP_PKEY_get_id(read.get()) != type_of(kind)) return wrong();
  RawKeyPair pair;
  if (!read_out(read, pair)) return wrong();
  return pair;
}

std::string raw_key_to_pem(RawKeyKind kind, const std::array<std::byte, 32>& secret) {
  const Key key(EVP_PKEY_new_raw_private_key(type_of(kind), nullptr,
                                             reinterpret_cast<const unsigned char*>(secret.data()),
                                             secret.size()));
  const Memory memory(BIO_new(BIO_s_secmem()));
  LAMINA_ASSERT(key != nullptr && memory != nullptr);
  LAMINA_ASSERT(PEM_write_bio_PKCS8PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                              nullptr) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

}  // namespace lamina
