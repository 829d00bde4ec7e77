// What administrators and the origin say to each other about a restore, so that the audit log has
// one entry for it in the end instead of one for each batch of its reads.
//
// Plain values. Parse rules as in enrol.hpp.
#pragma once

#include <cstdint>
#include <string>

#include "shared/base/ids.hpp"

namespace lamina::wire {

// Of requests that read what a restore needs: the id that RestoreReply gave.
inline constexpr std::string_view kRestoreHeader = "Lamina-Restore";

struct RestoreRequest {  // POST /v1/cvds/{device}/restores: 201
  SnapshotId snapshot;
  std::string what;  // "path etc/fstab", "level system"...
};
struct RestoreReply {
  std::string restore;
};
struct RestoreEnd {  // POST /v1/cvds/{device}/restores/{restore}/end
  bool ok = false;
  std::int64_t entries = 0;  // That were written or removed.
  std::int64_t bytes = 0;    // Of content that was written.
  std::string text;          // Why it failed.
};

std::string to_json(const RestoreRequest& message);
std::string to_json(const RestoreReply& message);
std::string to_json(const RestoreEnd& message);

Result<RestoreRequest> parse_restore_request(std::string_view text);
Result<RestoreReply> parse_restore_reply(std::string_view text);
Result<RestoreEnd> parse_restore_end(std::string_view text);

}  // namespace lamina::wire
