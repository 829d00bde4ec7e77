// Ed25519 (RFC 8032) keys and signatures: who made a record.
//
// A private key's bytes are cleansed when it and its copies die. Values; any thread.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "shared/base/ids.hpp"

struct evp_pkey_st;

namespace lamina {

// The 32 public bytes of a key; also its id on the wire.
using PublicKey = ByteId<struct PublicKeyTag, 32>;
using Signature = std::array<std::byte, 64>;

class PrivateKey {
 public:
  // From the system's random source. `unavailable` when it fails.
  static Result<PrivateKey> generate();
  // PKCS #8 PEM, unencrypted, as written by to_pem() or `openssl genpkey -algorithm ed25519`.
  // `invalid` when it is anything else.
  static Result<PrivateKey> from_pem(std::string_view pem);

  ~PrivateKey();
  PrivateKey(const PrivateKey&) = default;
  PrivateKey& operator=(const PrivateKey&) = default;

  std::string to_pem() const;  // Secret: the caller keeps it at mode 0600.
  const PublicKey& public_key() const { return public_key_; }
  Signature sign(ByteView message) const;

 private:
  PrivateKey(const std::array<std::byte, 32>& seed, const PublicKey& public_key);

  std::array<std::byte, 32> seed_{};
  PublicKey public_key_;
  std::shared_ptr<evp_pkey_st>
      key_;  // The same for OpenSSL: made once, as making it costs a sign().
};

// True only if `signature` was made over exactly `message` by the holder of `key`.
bool verify(const PublicKey& key, ByteView message, const Signature& signature);

}  // namespace lamina
