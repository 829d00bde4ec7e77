// What a device signs with the key that it enrolled with (ECDSA P-256, SHA-256): proof of who made
// something that reaches the origin through others. Pure but for the random generator; any thread.
#pragma once

#include <string>

#include "shared/base/bytes.hpp"

namespace lamina::net {

struct KeySignature {
  Buffer public_key;  // SubjectPublicKeyInfo, DER.
  Buffer signature;   // DER.
};

// `invalid` for unusable PEM.
Result<KeySignature> sign_with_key(const std::string& key_pem, ByteView message);

// Whether that public key (SubjectPublicKeyInfo, DER) signed exactly `message`.
bool fits_public_key(ByteView public_key, ByteView signature, ByteView message);
// `refused` unless the key has this fingerprint (SHA-256 of its SubjectPublicKeyInfo in hex, as in
// certificates.hpp) and signed exactly `message`.
Status verify_with_key(const KeySignature& proof, const std::string& key_fingerprint,
                       ByteView message);

}  // namespace lamina::net
