#include "shared/wire/device_life.hpp"

#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, DecommissionRequest& m) {
  a("cvd", m.cvd, 16);
}
template <class A>
void fields(A& a, DecommissionReply& m) {
  a("device", m.device);
  a("cvd", m.cvd, 16);
  a("snapshots", m.snapshots);
  a("chunks", m.chunks);
  a("collections", m.collections);
  a("sites", m.sites);
}
template <class A>
void fields(A& a, ErasureInfo& m) {
  a("device", m.device);
  a("state", m.state, 16);
  a("device_stays", m.device_stays);
  a("by", m.by, 256);
  a("requested_ms", m.requested_ms);
  a("erased_ms", m.erased_ms);
  a("snapshots", m.snapshots);
  a("chunks", m.chunks);
  a("chunks_erased", m.chunks_erased);
  a("chunks_shared", m.chunks_shared);
  a("plain_bytes", m.plain_bytes);
  a("snapshots_digest", m.snapshots_digest, 64);
  a("chunks_digest", m.chunks_digest, 64);
}
template <class A>
void fields(A& a, ErasureList& m) {
  a("erasures", m.erasures);
}
template <class A>
void fields(A& a, ErasureCheck& m) {
  a("what", m.what, 256);
  a("looked_at", m.looked_at);
  a("found", m.found);
  a("text", m.text);
}
template <class A>
void fields(A& a, ErasureProof& m) {
  a("erasure", m.erasure);
  a("holds", m.holds);
  a("checks", m.checks);
  a("out_of_reach", m.out_of_reach);
}
template <class A>
void fields(A& a, ReferenceRequest& m) {
  a("reference", m.reference);
}
template <class A>
void fields(A& a, ArchiveRequest& m) {
  a("archived", m.archived);
}
template <class A>
void fields(A& a, MoveRequest& m) {
  a("into", m.into);
  a("force", m.force);
}
template <class A>
void fields(A& a, MoveReply& m) {
  a("from", m.from);
  a("into", m.into);
  a("snapshots", m.snapshots);
  a("total", m.total);
  a("chunks", m.chunks);
  a("is_out", m.is_out);
  a("collections", m.collections);
  a("sites", m.sites);
}
template <class A>
void fields(A& a, CvdProposal& m) {
  a("device", m.device);
  a("host_name", m.host_name, 256);
  a("cvd", m.cvd);
  a("cvd_host_name", m.cvd_host_name, 256);
  a("hardware_uuid", m.hardware_uuid, 128);
  a("snapshots", m.snapshots);
  a("newest_ms", m.newest_ms);
  a("state", m.state, 16);
  a("seen_ms", m.seen_ms);
  a("confirm", m.confirm, 256);
}
template <class A>
void fields(A& a, ProposalList& m) {
  a("proposals", m.proposals);
}
template <class A>
void fields(A& a, QuotaRule& m) {
  a("warn_bytes", m.warn_bytes);
  a("hard_bytes", m.hard_bytes);
  a("warn_snapshots", m.warn_snapshots);
  a("hard_snapshots", m.hard_snapshots);
}
template <class A>
void fields(A& a, QuotaRequest& m) {
  a("device", m.device);
  a("collection", m.collection, 128);
  a("rule", m.rule);
}
template <class A>
void fields(A& a, QuotaStanding& m) {
  a("device", m.device);
  a("collection", m.collection, 128);
  a("rule", m.rule);
  a("bytes", m.bytes);
  a("snapshots", m.snapshots);
  a("level", m.level, 16);
}
template <class A>
void fields(A& a, QuotaList& m) {
  a("quotas", m.quotas);
}
template <class A>
void fields(A& a, IntegrityFinding& m) {
  a("number", m.number);
  a("snapshot", m.snapshot);
  a("text", m.text);
}
template <class A>
void fields(A& a, IntegrityReport& m) {
  a("device", m.device);
  a("data_was_read", m.data_was_read);
  a("snapshots", m.snapshots);
  a("chunks", m.chunks);
  a("plain_bytes", m.plain_bytes);
  a("findings", m.findings, kFindingsMax);
}

std::string to_json(const ReferenceRequest& message) { return write_message(message); }
std::string to_json(const ArchiveRequest& message) { return write_message(message); }
std::string to_json(const MoveRequest& message) { return write_message(message); }
std::string to_json(const MoveReply& message) { return write_message(message); }
std::string to_json(const ProposalList& message) { return write_message(message); }
std::string to_json(const QuotaRule& message) { return write_message(message); }
std::string to_json(const QuotaRequest& message) { return write_message(message); }
std::string to_json(const QuotaList& message) { return write_message(message); }
std::string to_json(const IntegrityReport& message) { return write_message(message); }
std::string to_json(const DecommissionRequest& message) { return write_message(message); }
std::string to_json(const DecommissionReply& message) { return write_message(message); }
std::string to_json(const ErasureInfo& message) { return write_message(message); }
std::string to_json(const ErasureList& message) { return write_message(message); }
std::string to_json(const ErasureProof& message) { return write_message(message); }

Result<ReferenceRequest> parse_reference_request(std::string_view text) {
  return read_message<ReferenceRequest>(text, "reference request");
}
Result<ArchiveRequest> parse_archive_request(std::string_view text) {
  return read_message<ArchiveRequest>(text, "archive request");
}
Result<MoveRequest> parse_move_request(std::string_view text) {
  return read_message<MoveRequest>(text, "request to move a CVD");
}
Result<MoveReply> parse_move_reply(std::string_view text) {
  return read_message<MoveReply>(text, "reply about a CVD that moved");
}
Result<ProposalList> parse_proposal_list(std::string_view text) {
  return read_message<ProposalList>(text, "list of proposals");
}
Result<QuotaRule> parse_quota_rule(std::string_view text) {
  return read_message<QuotaRule>(text, "quota");
}
Result<QuotaRequest> parse_quota_request(std::string_view text) {
  return read_message<QuotaRequest>(text, "quota request");
}
Result<QuotaList> parse_quota_list(std::string_view text) {
  return read_message<QuotaList>(text, "list of quotas");
}
Result<IntegrityReport> parse_integrity_report(std::string_view text) {
  return read_message<IntegrityReport>(text, "integrity report");
}
Result<DecommissionRequest> parse_decommission_request(std::string_view text) {
  return read_message<DecommissionRequest>(text, "decommission request");
}
Result<DecommissionReply> parse_decommission_reply(std::string_view text) {
  return read_message<DecommissionReply>(text, "decommission reply");
}
Result<ErasureInfo> parse_erasure_info(std::string_view text) {
  return read_message<ErasureInfo>(text, "erasure");
}
Result<ErasureList> parse_erasure_list(std::string_view text) {
  return read_message<ErasureList>(text, "list of erasures");
}
Result<ErasureProof> parse_erasure_proof(std::string_view text) {
  return read_message<ErasureProof>(text, "proof of an erasure");
}

}  // namespace lamina::wire
