#include "shared/net/key_signature.hpp"

#include "shared/hash/sha256.hpp"
#include "shared/net/openssl.hpp"

namespace lamina::net {

Result<KeySignature> sign_with_key(const std::string& key_pem, ByteView message) {
  const Held<BIO> bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  const Held<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  if (!key) return openssl_failed(ErrorKind::invalid, "not a usable private key in PEM");
  KeySignature made;
  const int size = i2d_PUBKEY(key.get(), nullptr);
  if (size <= 0) return openssl_failed(ErrorKind::invalid, "the key has no public half");
  made.public_key.resize(static_cast<std::size_t>(size));
  auto* at = reinterpret_cast<unsigned char*>(made.public_key.data());
  i2d_PUBKEY(key.get(), &at);

  const Held<EVP_MD_CTX> context(EVP_MD_CTX_new());
  std::size_t room = 0;
  if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &room, raw(message), message.size()) != 1)
    return openssl_failed(ErrorKind::invalid, "the key cannot sign");
  made.signature.resize(room);
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(made.signature.data()), &room,
                     raw(message), message.size()) != 1)
    return openssl_failed(ErrorKind::invalid, "the key cannot sign");
  made.signature.resize(room);
  return made;
}

bool fits_public_key(ByteView public_key, ByteView signature, ByteView message) {
  const unsigned char* at = raw(public_key);
  const Held<EVP_PKEY> key(d2i_PUBKEY(nullptr, &at, static_cast<long>(public_key.size())));
  const Held<EVP_MD_CTX> context(EVP_MD_CTX_new());
  const bool fits =
      key && context &&
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
      EVP_DigestVerify(context.get(), raw(signature), signature.size(), raw(message),
                       message.size()) == 1;
  ERR_clear_error();
  return fits;
}

Status verify_with_key(const KeySignature& proof, const std::string& key_fingerprint,
                       ByteView message) {
  if (to_hex(sha256(proof.public_key)) != key_fingerprint)
    return fail(ErrorKind::refused, "the signature's key is not the one that the device enrolled");
  if (!fits_public_key(proof.public_key, proof.signature, message))
    return fail(ErrorKind::refused, "the device's signature does not fit");
  return Done{};
}

}  // namespace lamina::net
