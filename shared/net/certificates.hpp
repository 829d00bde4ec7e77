// X.509 certificates of the API and of the swarm: EC P-256 keys, PEM in, PEM out.
//
// Every certificate is back-dated by a day, so that a device with a slow clock can still use it.
// Names inside a CSR are never copied. Pure apart from the random generator and the wall clock;
// any thread. Failures are `invalid` (unusable PEM, named) or `refused`.
#pragma once

#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::net {

struct KeyAndCertificate {
  std::string key_pem;
  std::string certificate_pem;
};
struct KeyAndRequest {
  std::string key_pem;
  std::string csr_pem;
};

inline constexpr Duration kDay = std::chrono::hours{24};

// A self-signed CA; pathlen 0, so that nothing below it can be a CA.
Result<KeyAndCertificate> make_ca(const std::string& common_name, Duration lifetime = 3650 * kDay);

// serverAuth only. `names`: host names and IP addresses, at least one.
Result<KeyAndCertificate> issue_server_certificate(const KeyAndCertificate& ca,
                                                   const std::vector<std::string>& names,
                                                   Duration lifetime = 730 * kDay);

// clientAuth only; subject CN is the device id in hex. The CSR must be signed by its own key.
Result<std::string> issue_device_certificate(const KeyAndCertificate& ca,
                                             const std::string& csr_pem, const DeviceId& device,
                                             Duration lifetime = 7 * kDay);

// For the swarm: subject alternative names "packs", the name of our torrents, and "*": libtorrent
// names a torrent of a single pack by that pack and demands the name of both ends. Signed directly
// by the root: libtorrent loads the leaf only.
Result<std::string> issue_swarm_certificate(const KeyAndCertificate& ca, const std::string& csr_pem,
                                            const std::string& common_name,
                                            Duration lifetime = 30 * kDay);

Result<KeyAndRequest> make_key_and_request();
// A new CSR for an existing key: renewal keeps the key.
Result<std::string> make_request(const std::string& key_pem);
// SHA-256 of the public key (SubjectPublicKeyInfo) in hex: tells whether a CSR carries a known key.
Result<std::string> request_key_fingerprint(const std::string& csr_pem);

struct CertificateFacts {
  std::string common_name;
  std::string fingerprint;      // SHA-256 of the DER, 64 hex digits.
  std::string key_fingerprint;  // SHA-256 of the SubjectPublicKeyInfo, 64 hex digits.
  WallTime not_before;
  WallTime not_after;
};
Result<CertificateFacts> certificate_facts(const std::string& certificate_pem);

}  // namespace lamina::net
