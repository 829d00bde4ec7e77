// Private to shared/hash: keys of 32 raw bytes (Ed25519, X25519), made by the system and kept as
// PEM. Values; any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "shared/base/bytes.hpp"

namespace lamina {

enum class RawKeyKind { ed25519, x25519 };

struct RawKeyPair {
  ~RawKeyPair();
  std::array<std::byte, 32> secret{};  // Cleansed when the object dies.
  std::array<std::byte, 32> open{};
};

// From the system's random source. `unavailable` when it fails.
Result<RawKeyPair> make_raw_key(RawKeyKind kind);
// PKCS #8 PEM, unencrypted. `invalid` when it is anything else, or a key of another kind.
Result<RawKeyPair> raw_key_from_pem(RawKeyKind kind, std::string_view pem);
std::string raw_key_to_pem(RawKeyKind kind, const std::array<std::byte, 32>& secret);

}  // namespace lamina
