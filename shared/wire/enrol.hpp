// Enrolment and certificates: how a device gets its identity and keeps it alive.
//
// Plain values. Every parse_x is `invalid` on a wrong type, a missing field (named) or an exceeded
// bound; unknown fields are ignored, so that a newer side may say more.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::wire {

// POST /v1/enroll. The key stays on the device; names inside the CSR are ignored.
struct EnrolRequest {
  std::string token;
  std::string csr_pem;
  std::string hardware_uuid;  // SMBIOS or an override; may be empty.
  std::string host_name;
  std::string node_version;
  std::map<std::string, std::string> attributes;  // serial, machine_id, os...; at most 32.
};

struct EnrolReply {
  DeviceId device;
  std::string certificate_pem;
  std::string ca_pem;        // The API CA; its fingerprint is what the device pinned.
  std::string swarm_ca_pem;  // The swarm's CA, another one.
  Buffer target_key;         // Ed25519 public key (32 bytes) that signs targets and distributions.
  std::vector<Buffer> publisher_keys;  // Ed25519 public keys (32 bytes) that may sign layers.
};

// POST /v1/node/renew. The CSR must carry the enrolled key.
struct RenewRequest {
  std::string csr_pem;
};
struct RenewReply {
  std::string certificate_pem;
};

// POST /v1/node/swarm-certificate. A key of its own, apart from the API key.
struct SwarmCertificateRequest {
  std::string csr_pem;
};
struct SwarmCertificateReply {
  std::string certificate_pem;
  std::string swarm_ca_pem;
};

std::string to_json(const EnrolRequest& message);
std::string to_json(const EnrolReply& message);
std::string to_json(const RenewRequest& message);
std::string to_json(const RenewReply& message);
std::string to_json(const SwarmCertificateRequest& message);
std::string to_json(const SwarmCertificateReply& message);

Result<EnrolRequest> parse_enrol_request(std::string_view text);
Result<EnrolReply> parse_enrol_reply(std::string_view text);
Result<RenewRequest> parse_renew_request(std::string_view text);
Result<RenewReply> parse_renew_reply(std::string_view text);
Result<SwarmCertificateRequest> parse_swarm_certificate_request(std::string_view text);
Result<SwarmCertificateReply> parse_swarm_certificate_reply(std::string_view text);

}  // namespace lamina::wire
