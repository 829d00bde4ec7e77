#include "shared/wire/enrol.hpp"

#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, EnrolRequest& m) {
  a("token", m.token, 256);
  a("csr_pem", m.csr_pem, 16'384);
  a("hardware_uuid", m.hardware_uuid, 128);
  a("host_name", m.host_name, 256);
  a("node_version", m.node_version, 64);
  a("attributes", m.attributes, 32);
}
template <class A>
void fields(A& a, EnrolReply& m) {
  a("device", m.device);
  a("certificate_pem", m.certificate_pem, 65'536);
  a("ca_pem", m.ca_pem, 65'536);
  a("swarm_ca_pem", m.swarm_ca_pem, 65'536);
  a("target_key", m.target_key, 32);
  a("publisher_keys", m.publisher_keys, 64);
}
template <class A>
void fields(A& a, RenewRequest& m) {
  a("csr_pem", m.csr_pem, 16'384);
}
template <class A>
void fields(A& a, RenewReply& m) {
  a("certificate_pem", m.certificate_pem, 65'536);
}
template <class A>
void fields(A& a, SwarmCertificateRequest& m) {
  a("csr_pem", m.csr_pem, 16'384);
}
template <class A>
void fields(A& a, SwarmCertificateReply& m) {
  a("certificate_pem", m.certificate_pem, 65'536);
  a("swarm_ca_pem", m.swarm_ca_pem, 65'536);
}

std::string to_json(const EnrolRequest& message) { return write_message(message); }
std::string to_json(const EnrolReply& message) { return write_message(message); }
std::string to_json(const RenewRequest& message) { return write_message(message); }
std::string to_json(const RenewReply& message) { return write_message(message); }
std::string to_json(const SwarmCertificateRequest& message) { return write_message(message); }
std::string to_json(const SwarmCertificateReply& message) { return write_message(message); }

Result<EnrolRequest> parse_enrol_request(std::string_view text) {
  return read_message<EnrolRequest>(text, "enrol request");
}
Result<EnrolReply> parse_enrol_reply(std::string_view text) {
  return read_message<EnrolReply>(text, "enrol reply");
}
Result<RenewRequest> parse_renew_request(std::string_view text) {
  return read_message<RenewRequest>(text, "renew request");
}
Result<RenewReply> parse_renew_reply(std::string_view text) {
  return read_message<RenewReply>(text, "renew reply");
}
Result<SwarmCertificateRequest> parse_swarm_certificate_request(std::string_view text) {
  return read_message<SwarmCertificateRequest>(text, "swarm certificate request");
}
Result<SwarmCertificateReply> parse_swarm_certificate_reply(std::string_view text) {
  return read_message<SwarmCertificateReply>(text, "swarm certificate reply");
}

}  // namespace lamina::wire
