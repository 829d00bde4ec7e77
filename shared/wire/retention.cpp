#include "shared/wire/retention.hpp"

#include "shared/wire/retention_fields.hpp"
#include "shared/wire/snapshot_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, RetentionRequest& m) {
  a("device", m.device);
  a("rule", m.rule);
}
template <class A>
void fields(A& a, DeviceRetention& m) {
  a("device", m.device);
  a("rule", m.rule);
}
template <class A>
void fields(A& a, RetentionSettings& m) {
  a("rule", m.rule);
  a("devices", m.devices);
}
template <class A>
void fields(A& a, ForgetRequest& m) {
  a("snapshot", m.snapshot);
  a("dry_run", m.dry_run);
}
template <class A>
void fields(A& a, JudgedSnapshot& m) {
  a("snapshot", m.snapshot);
  a("kept_as", m.kept_as, 8);
}
template <class A>
void fields(A& a, ForgetReply& m) {
  a("dry_run", m.dry_run);
  a("snapshots", m.snapshots);
}

std::string to_json(const RetentionRequest& message) { return write_message(message); }
std::string to_json(const RetentionRule& message) { return write_message(message); }
std::string to_json(const RetentionSettings& message) { return write_message(message); }
std::string to_json(const ForgetRequest& message) { return write_message(message); }
std::string to_json(const ForgetReply& message) { return write_message(message); }

Result<RetentionRequest> parse_retention_request(std::string_view text) {
  return read_message<RetentionRequest>(text, "retention request");
}
Result<RetentionRule> parse_retention_rule(std::string_view text) {
  return read_message<RetentionRule>(text, "retention rule");
}
Result<RetentionSettings> parse_retention_settings(std::string_view text) {
  return read_message<RetentionSettings>(text, "retention settings");
}
Result<ForgetRequest> parse_forget_request(std::string_view text) {
  return read_message<ForgetRequest>(text, "forget request");
}
Result<ForgetReply> parse_forget_reply(std::string_view text) {
  return read_message<ForgetReply>(text, "forget reply");
}

}  // namespace lamina::wire
