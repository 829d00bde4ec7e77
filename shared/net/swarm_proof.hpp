// Whether something was signed by the holder of a swarm certificate. Pure but for OpenSSL; any
// thread.
#pragma once

#include <string>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::net {

// Of the first certificate in the PEM, as DER. `invalid`: there is none.
Result<Buffer> certificate_der(const std::string& pem);

// Of a swarm certificate that the CA issued.
struct SwarmProof {
  DeviceId device;  // That it was issued to.
  Buffer key;       // SubjectPublicKeyInfo, DER.
};
// `refused` unless `ca_pem` signed it, it is for the swarm and it is valid at `now`, give or take
// `tolerance`: without the origin nobody gets a new one, and clocks go wrong.
Result<SwarmProof> check_swarm_certificate(ByteView der, const std::string& ca_pem, WallTime now,
                                           Duration tolerance);
// `refused` unless the proof's key signed exactly `message` (ECDSA, SHA-256).
Status check_swarm_signature(const SwarmProof& proof, ByteView signature, ByteView message);

}  // namespace lamina::net
