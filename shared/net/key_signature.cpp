#include "shared/net/key_signature.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "shared/hash/sha256.hpp"

namespace lamina::net {
namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
template <class T>
using Held = std::unique_ptr<T, Free>;

const unsigned char* raw(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// Leaves nothing of a failure in OpenSSL's queue, where the next caller would find it.
tl::unexpected<Error> failed(ErrorKind kind, const char* what) {
  ERR_clear_error();
  return fail(kind, what);
}

}  // namespace

Result<KeySignature> sign_with_key(const std::string& key_pem, ByteView message) {
  const Held<BIO> bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  const Held<EVP_PKEY> key(PEM_read_bio_PrivateKey(
      bio.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
  if (!key) return failed(ErrorKind::invalid, "not a usable private key in PEM");
  KeySignature made;
  const int size = i2d_PUBKEY(key.get(), nullptr);
  if (size <= 0) return failed(ErrorKind::invalid, "the key has no public half");
  made.public_key.resize(static_cast<std::size_t>(size));
  auto* at = reinterpret_cast<unsigned char*>(made.public_key.data());
  i2d_PUBKEY(key.get(), &at);

  const Held<EVP_MD_CTX> context(EVP_MD_CTX_new());
  std::size_t room = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &room, raw(message), message.size()) != 1)
    return failed(ErrorKind::invalid, "the key cannot sign");
  made.signature.resize(room);
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(made.signature.data()), &room,
                     raw(message), message.size()) != 1)
    return failed(ErrorKind::invalid, "the key cannot sign");
  made.signature.resize(room);
  return made;
}

Status verify_with_key(const KeySignature& proof, const std::string& key_fingerprint,
                       ByteView message) {
  if (to_hex(sha256(proof.public_key)) != key_fingerprint)
    return fail(ErrorKind::refused, "the signature's key is not the one that the device enrolled");
  const unsigned char* at = raw(proof.public_key);
  const Held<EVP_PKEY> key(d2i_PUBKEY(nullptr, &at, static_cast<long>(proof.public_key.size())));
  const Held<EVP_MD_CTX> context(EVP_MD_CTX_new());
  if (!key || EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestVerify(context.get(), raw(proof.signature), proof.signature.size(), raw(message),
                       message.size()) != 1)
    return failed(ErrorKind::refused, "the device's signature does not fit");
  return Done{};
}

}  // namespace lamina::net
