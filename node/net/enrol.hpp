// Enrolment: a device gets its identity from the origin, once.
//
// The CA is pinned by the fingerprint that the administrator hands over with the token; the key is
// made here and never leaves. Blocking; for the command line.
#pragma once

#include "node/state.hpp"

namespace lamina::node {

struct Enrolment {
  std::string origin;          // "HOST:PORT"
  std::string ca_fingerprint;  // SHA-256 of the API CA, 64 hex digits.
  std::string token;
  std::string state;
  std::string volume;
  std::string hardware_uuid;  // Empty: asked from the firmware.
  std::string user;           // Of the network process; empty: the caller.
  // Writes nothing, and does not ask the origin, which would use the token up: everything that can
  // be wrong on this side is looked at. The answer has no device then.
  bool dry_run = false;
};

// Writes the state directory. `invalid` when it holds an enrolled device already (nothing is
// changed then); `refused` for a wrong token or CA; `unavailable` when the origin is not there.
Result<NodeConfig> enrol(const Enrolment& how);

}  // namespace lamina::node
