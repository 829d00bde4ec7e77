// What administrators and the origin say to each other about the ends and the returns of devices:
// decommissioning, the erasure of CVDs with its proof, CVDs that move to another device.
//
// Plain values. Parse rules as in enrol.hpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::wire {

// POST /v1/devices/{id}/decommission: out of service for good.
struct DecommissionRequest {
  std::string cvd;  // "archive": its snapshots stay; "erase": they go, and with them the device.
};
struct DecommissionReply {
  DeviceId device;
  std::string cvd;                       // "archived" or "erasing".
  std::int64_t snapshots = 0;            // That stay, or go.
  std::int64_t chunks = 0;               // That the device sent.
  std::vector<std::string> collections;  // Whose lists it leaves.
  std::vector<std::string> sites;        // That it came first in as a reflector.
};

// The erasure of one CVD. It is asked for, then carried out by a collection of garbage.
struct ErasureInfo {
  DeviceId device;
  std::string state;          // kErasurePending or kErased.
  bool device_stays = false;  // The CVD alone goes.
  std::string by;             // As in the audit log.
  std::int64_t requested_ms = 0;
  std::int64_t erased_ms = 0;
  std::int64_t snapshots = 0;
  std::int64_t chunks = 0;         // That the device had sent. When they are erased:
  std::int64_t chunks_erased = 0;  // only it had them,
  std::int64_t chunks_shared = 0;  // other devices have them too: they stay.
  std::int64_t plain_bytes = 0;    // Of those that only it had, when the erasure was begun.
  std::string snapshots_digest;    // SHA-256 of all ids, ascending.
  std::string chunks_digest;       // Likewise, of those that were erased.
};
inline constexpr std::string_view kErasurePending = "pending";
inline constexpr std::string_view kErased = "erased";
struct ErasureList {  // GET /v1/erasures
  std::vector<ErasureInfo> erasures;
};

// GET /v1/devices/{id}/proof: what was looked for just now, and how much of it was found.
struct ErasureCheck {
  std::string what;
  std::int64_t looked_at = 0;
  std::int64_t found = 0;  // 0: nothing remains.
  std::string text;        // The first of what was found, or remarks.
};
struct ErasureProof {
  ErasureInfo erasure;
  bool holds = false;  // The erasure is over, and no check found anything.
  std::vector<ErasureCheck> checks;
  std::vector<std::string> out_of_reach;  // Where copies may be that the origin cannot erase.
};

// POST /v1/devices/{id}/reference
struct ReferenceRequest {
  bool reference = true;
};

// POST /v1/cvds/{device}/archive
struct ArchiveRequest {
  bool archived = true;  // false: the device goes on with it.
};

// POST /v1/cvds/{from}/reassign: an archived CVD becomes another device's.
// POST /v1/devices/{from}/merge: two enrolments of one machine become one.
struct MoveRequest {
  DeviceId into;
  bool force = false;  // Although their hardware UUIDs differ. Of a merge.
};
struct MoveReply {
  DeviceId from;
  DeviceId into;
  std::int64_t snapshots = 0;  // That were moved...
  std::int64_t total = 0;      // ...and that there are then.
  std::int64_t chunks = 0;     // That were moved.
  bool is_out = false;         // `from` is let in nowhere any more.
  std::vector<std::string>
      collections;                 // Whose lists `from` leaves; of a merge, `into` joins them.
  std::vector<std::string> sites;  // That it came first in as a reflector.
};

// A device without snapshots whose hardware UUID is that of another one's CVD. UUIDs are public and
// can be forged: nothing follows from it but the question to a person.
struct CvdProposal {
  DeviceId device;
  std::string host_name;
  DeviceId cvd;
  std::string cvd_host_name;
  std::string hardware_uuid;
  std::int64_t snapshots = 0;  // Of the CVD.
  std::int64_t newest_ms = 0;
  std::string state;         // Of the CVD's device: its status, or "archived".
  std::int64_t seen_ms = 0;  // When that one polled last.
  std::string confirm;       // The command that confirms it.
};
struct ProposalList {  // GET /v1/proposals
  std::vector<CvdProposal> proposals;
};

// How much a device's CVD, or those of a collection's members together, may come to: plain bytes of
// the newest snapshots, and snapshots. 0: as many as there are.
struct QuotaRule {
  std::int64_t warn_bytes = 0;
  std::int64_t hard_bytes = 0;
  std::int64_t warn_snapshots = 0;
  std::int64_t hard_snapshots = 0;
  bool operator==(const QuotaRule&) const = default;
};
struct QuotaRequest {              // PUT /v1/quotas
  std::optional<DeviceId> device;  // One of the two.
  std::optional<std::string> collection;
  std::optional<QuotaRule> rule;  // Absent: there is none any more.
};
struct QuotaStanding {
  std::optional<DeviceId> device;
  std::optional<std::string> collection;
  QuotaRule rule;
  std::int64_t bytes = 0;
  std::int64_t snapshots = 0;
  std::string level;  // "ok", "warning" or "hard": nothing is taken in.
};
struct QuotaList {  // GET /v1/quotas
  std::vector<QuotaStanding> quotas;
};

// GET /v1/cvds/{device}/integrity, `?read-data=1`: whether all that its snapshots need is there.
struct IntegrityFinding {
  std::uint64_t number = 0;  // Of the snapshot.
  SnapshotId snapshot;
  std::string text;
};
struct IntegrityReport {
  DeviceId device;
  bool data_was_read = false;  // Every chunk was read and compared with its id.
  std::int64_t snapshots = 0;
  std::int64_t chunks = 0;  // Each once.
  std::int64_t plain_bytes = 0;
  std::vector<IntegrityFinding> findings;  // At most kFindingsMax.
};
inline constexpr std::size_t kFindingsMax = 1000;

std::string to_json(const ReferenceRequest& message);
std::string to_json(const ArchiveRequest& message);
std::string to_json(const MoveRequest& message);
std::string to_json(const MoveReply& message);
std::string to_json(const ProposalList& message);
std::string to_json(const QuotaRule& message);
std::string to_json(const QuotaRequest& message);
std::string to_json(const QuotaList& message);
std::string to_json(const IntegrityReport& message);
std::string to_json(const DecommissionRequest& message);
std::string to_json(const DecommissionReply& message);
std::string to_json(const ErasureInfo& message);
std::string to_json(const ErasureList& message);
std::string to_json(const ErasureProof& message);

Result<ReferenceRequest> parse_reference_request(std::string_view text);
Result<ArchiveRequest> parse_archive_request(std::string_view text);
Result<MoveRequest> parse_move_request(std::string_view text);
Result<MoveReply> parse_move_reply(std::string_view text);
Result<ProposalList> parse_proposal_list(std::string_view text);
Result<QuotaRule> parse_quota_rule(std::string_view text);
Result<QuotaRequest> parse_quota_request(std::string_view text);
Result<QuotaList> parse_quota_list(std::string_view text);
Result<IntegrityReport> parse_integrity_report(std::string_view text);
Result<DecommissionRequest> parse_decommission_request(std::string_view text);
Result<DecommissionReply> parse_decommission_reply(std::string_view text);
Result<ErasureInfo> parse_erasure_info(std::string_view text);
Result<ErasureList> parse_erasure_list(std::string_view text);
Result<ErasureProof> parse_erasure_proof(std::string_view text);

}  // namespace lamina::wire
