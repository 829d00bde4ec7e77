#include "origin/cli/audited_restore.hpp"

#include "origin/cli/session.hpp"
#include "shared/wire/restore.hpp"

namespace lamina::origin::cli {

Result<AuditedRestore> AuditedRestore::begin(Session& session, const std::string& device,
                                             const SnapshotId& snapshot, const std::string& what) {
  const std::string path = "/v1/cvds/" + encoded(device) + "/restores";
  auto body = session.call("POST", path, wire::to_json(wire::RestoreRequest{snapshot, what}));
  if (!body && body.error().kind() == ErrorKind::not_found) return AuditedRestore(session, "");
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_restore_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  session.restore = reply->restore;
  return AuditedRestore(session, path + '/' + encoded(reply->restore) + "/end");
}

Status AuditedRestore::end(Status done) {
  if (path_.empty()) return done;
  const wire::RestoreEnd message{.ok = done.has_value(),
                                 .entries = static_cast<std::int64_t>(entries_),
                                 .bytes = static_cast<std::int64_t>(bytes_),
                                 .text = done ? "" : printable(done.error().text(), 1000)};
  session_->restore.clear();
  auto said = session_->call("POST", path_, wire::to_json(message));
  if (!done || said) return done;
  return fail(std::move(said.error()).in("everything is restored; telling the origin"));
}

}  // namespace lamina::origin::cli
