// Who a signed envelope says it is from, for programs that hold no list of trusted keys and show
// the key to a person instead. Proves nothing: give the key to open_record(), and compare it.
// Values; any thread.
#pragma once

#include "shared/hash/ed25519.hpp"

namespace lamina::format {

// `corrupt` unless `envelope` is a whole signed record of any type.
Result<PublicKey> claimed_signer(ByteView envelope);

}  // namespace lamina::format
