// Seeders on machines of their own: how one joins, keeps its certificates alive, and says how it
// stands; and the origin's list of them.
//
// Plain values. Parse rules as in enrol.hpp. Times are milliseconds since 1970 (0: never).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::wire {

// What one seeder may hold, so that its list of them is a message.
inline constexpr std::size_t kSeederLayersMax = 10'000;

// POST /v1/seeders/join. The keys stay on the seeder; names inside the CSRs are ignored.
struct JoinRequest {
  std::string token;          // Of kind "seeder"; its name becomes the seeder's.
  std::string csr_pem;        // For the API.
  std::string swarm_csr_pem;  // For the swarm, a key of its own.
  std::string address;        // Where lease holders dial it; empty: where this request comes from.
  std::uint16_t port = 0;     // Likewise; its swarm port.
  std::string version;
};
struct JoinReply {
  DeviceId id;  // In the certificate for the API; it is no device.
  std::string name;
  std::string certificate_pem;
  std::string ca_pem;  // The API CA; its fingerprint is what the seeder pinned.
  std::string swarm_certificate_pem;
  std::string swarm_ca_pem;
  Buffer lease_key;                    // Ed25519 public keys (32 bytes): who signs leases,
  Buffer target_key;                   // distribution records,
  std::vector<Buffer> publisher_keys;  // and layers.
};

// POST /v1/seeder/renew. The CSRs must carry the keys that it joined with.
struct SeederRenewRequest {
  std::string csr_pem;
  std::string swarm_csr_pem;
};
struct SeederRenewReply {
  std::string certificate_pem;
  std::string swarm_certificate_pem;
};

// POST /v1/seeder/poll, every few seconds.
struct SeederPollRequest {
  std::string address;  // As in JoinRequest.
  std::uint16_t port = 0;
  std::string version;
  std::uint64_t list_version = 0;           // Of the last list that it was given; 0: none.
  std::vector<LayerId> holds;               // Layers that it serves. At most kSeederLayersMax.
  std::int64_t held_bytes = 0;              // Of packs, verified.
  std::int64_t missing_bytes = 0;           // Of packs that it knows of and lacks.
  std::int64_t unread = 0;                  // Layers whose records it lacks.
  std::int64_t connections = 0;             // Of lease holders.
  std::int64_t sent_bytes = 0;              // Since its start.
  std::int64_t certificate_expires_ms = 0;  // The swarm's.
  std::string trouble;                      // For people; empty: none.
};
struct SeederPollReply {
  std::uint64_t list_version = 0;
  std::optional<std::vector<LayerId>> layers;  // All that there are; absent: as before.
  // Packs that the origin lost and that the seeder serves: it sends them with
  // PUT /v1/seeder/packs/{id}. Absent: none. At most kWantedPacksMax.
  std::optional<std::vector<PackId>> wanted_packs = std::nullopt;
};

// A seeder as an administrator sees it. What it said itself is 0 and empty until its first poll
// since the origin started.
struct SeederInfo {
  DeviceId id;
  std::string name;
  std::string address;  // "ADDRESS:PORT"
  // "up", "mirroring", "silent", "certificate-expired", "trouble"; "origin": of the origin itself,
  // which knows no more of it.
  std::string state;
  std::string trouble;
  std::string version;
  std::int64_t layers = 0;         // That it serves...
  std::int64_t layers_listed = 0;  // ...of so many.
  std::int64_t held_bytes = 0;
  std::int64_t missing_bytes = 0;
  std::int64_t connections = 0;
  std::int64_t sent_bytes = 0;
  std::int64_t joined_ms = 0;
  std::int64_t seen_ms = 0;
  std::int64_t certificate_expires_ms = 0;  // The swarm's.
};
struct SeederList {  // GET /v1/seeders
  std::vector<SeederInfo> seeders;
};

std::string to_json(const JoinRequest& message);
std::string to_json(const JoinReply& message);
std::string to_json(const SeederRenewRequest& message);
std::string to_json(const SeederRenewReply& message);
std::string to_json(const SeederPollRequest& message);
std::string to_json(const SeederPollReply& message);
std::string to_json(const SeederInfo& message);
std::string to_json(const SeederList& message);

Result<JoinRequest> parse_join_request(std::string_view text);
Result<JoinReply> parse_join_reply(std::string_view text);
Result<SeederRenewRequest> parse_seeder_renew_request(std::string_view text);
Result<SeederRenewReply> parse_seeder_renew_reply(std::string_view text);
Result<SeederPollRequest> parse_seeder_poll_request(std::string_view text);
Result<SeederPollReply> parse_seeder_poll_reply(std::string_view text);
Result<SeederInfo> parse_seeder_info(std::string_view text);
Result<SeederList> parse_seeder_list(std::string_view text);

}  // namespace lamina::wire
