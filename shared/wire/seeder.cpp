#include "shared/wire/seeder.hpp"

#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, JoinRequest& m) {
  a("token", m.token, 256);
  a("csr_pem", m.csr_pem, 16'384);
  a("swarm_csr_pem", m.swarm_csr_pem, 16'384);
  a("address", m.address, 64);
  a("port", m.port);
  a("version", m.version, 64);
}
template <class A>
void fields(A& a, JoinReply& m) {
  a("id", m.id);
  a("name", m.name, 128);
  a("certificate_pem", m.certificate_pem, 65'536);
  a("ca_pem", m.ca_pem, 65'536);
  a("swarm_certificate_pem", m.swarm_certificate_pem, 65'536);
  a("swarm_ca_pem", m.swarm_ca_pem, 65'536);
  a("lease_key", m.lease_key, 32);
  a("target_key", m.target_key, 32);
  a("publisher_keys", m.publisher_keys, 64);
}
template <class A>
void fields(A& a, SeederRenewRequest& m) {
  a("csr_pem", m.csr_pem, 16'384);
  a("swarm_csr_pem", m.swarm_csr_pem, 16'384);
}
template <class A>
void fields(A& a, SeederRenewReply& m) {
  a("certificate_pem", m.certificate_pem, 65'536);
  a("swarm_certificate_pem", m.swarm_certificate_pem, 65'536);
}
template <class A>
void fields(A& a, SeederPollRequest& m) {
  a("address", m.address, 64);
  a("port", m.port);
  a("version", m.version, 64);
  a("list_version", m.list_version);
  a("holds", m.holds, kSeederLayersMax);
  a("held_bytes", m.held_bytes);
  a("missing_bytes", m.missing_bytes);
  a("unread", m.unread);
  a("connections", m.connections);
  a("sent_bytes", m.sent_bytes);
  a("certificate_expires_ms", m.certificate_expires_ms);
  a("trouble", m.trouble, 1024);
}
template <class A>
void fields(A& a, SeederPollReply& m) {
  a("list_version", m.list_version);
  a("layers", m.layers, kSeederLayersMax);
  a("wanted_packs", m.wanted_packs, kWantedPacksMax);
}
template <class A>
void fields(A& a, SeederInfo& m) {
  a("id", m.id);
  a("name", m.name, 128);
  a("address", m.address, 80);
  a("state", m.state, 64);
  a("trouble", m.trouble, 1024);
  a("version", m.version, 64);
  a("layers", m.layers);
  a("layers_listed", m.layers_listed);
  a("held_bytes", m.held_bytes);
  a("missing_bytes", m.missing_bytes);
  a("connections", m.connections);
  a("sent_bytes", m.sent_bytes);
  a("joined_ms", m.joined_ms);
  a("seen_ms", m.seen_ms);
  a("certificate_expires_ms", m.certificate_expires_ms);
}
template <class A>
void fields(A& a, SeederList& m) {
  a("seeders", m.seeders);
}

std::string to_json(const JoinRequest& message) { return write_message(message); }
std::string to_json(const JoinReply& message) { return write_message(message); }
std::string to_json(const SeederRenewRequest& message) { return write_message(message); }
std::string to_json(const SeederRenewReply& message) { return write_message(message); }
std::string to_json(const SeederPollRequest& message) { return write_message(message); }
std::string to_json(const SeederPollReply& message) { return write_message(message); }
std::string to_json(const SeederInfo& message) { return write_message(message); }
std::string to_json(const SeederList& message) { return write_message(message); }

Result<JoinRequest> parse_join_request(std::string_view text) {
  return read_message<JoinRequest>(text, "join request");
}
Result<JoinReply> parse_join_reply(std::string_view text) {
  return read_message<JoinReply>(text, "join reply");
}
Result<SeederRenewRequest> parse_seeder_renew_request(std::string_view text) {
  return read_message<SeederRenewRequest>(text, "seeder renew request");
}
Result<SeederRenewReply> parse_seeder_renew_reply(std::string_view text) {
  return read_message<SeederRenewReply>(text, "seeder renew reply");
}
Result<SeederPollRequest> parse_seeder_poll_request(std::string_view text) {
  return read_message<SeederPollRequest>(text, "seeder poll request");
}
Result<SeederPollReply> parse_seeder_poll_reply(std::string_view text) {
  return read_message<SeederPollReply>(text, "seeder poll reply");
}
Result<SeederInfo> parse_seeder_info(std::string_view text) {
  return read_message<SeederInfo>(text, "seeder info");
}
Result<SeederList> parse_seeder_list(std::string_view text) {
  return read_message<SeederList>(text, "seeder list");
}

}  // namespace lamina::wire
