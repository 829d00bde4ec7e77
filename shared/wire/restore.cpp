#include "shared/wire/restore.hpp"

#include "shared/wire/json_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, RestoreRequest& m) {
  a("snapshot", m.snapshot);
  a("what", m.what, 512);
}
template <class A>
void fields(A& a, RestoreReply& m) {
  a("restore", m.restore, 64);
}
template <class A>
void fields(A& a, RestoreEnd& m) {
  a("ok", m.ok);
  a("entries", m.entries);
  a("bytes", m.bytes);
  a("text", m.text, 1024);
}

std::string to_json(const RestoreRequest& message) { return write_message(message); }
std::string to_json(const RestoreReply& message) { return write_message(message); }
std::string to_json(const RestoreEnd& message) { return write_message(message); }

Result<RestoreRequest> parse_restore_request(std::string_view text) {
  return read_message<RestoreRequest>(text, "restore request");
}
Result<RestoreReply> parse_restore_reply(std::string_view text) {
  return read_message<RestoreReply>(text, "restore reply");
}
Result<RestoreEnd> parse_restore_end(std::string_view text) {
  return read_message<RestoreEnd>(text, "end of a restore");
}

}  // namespace lamina::wire
