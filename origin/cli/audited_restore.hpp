// AuditedRestore: tells the origin when a restore begins and how it ended, so that the audit log
// has it as one transaction.
#pragma once

#include <cstdint>
#include <string>

#include "shared/base/ids.hpp"
#include "shared/base/result.hpp"

namespace lamina::origin::cli {

struct Session;

class AuditedRestore {
 public:
  // From now on the session's calls, and those of sessions made like it, are part of it. An origin
  // that knows no such (`not_found` of the call) audits each read instead: no error.
  static Result<AuditedRestore> begin(Session& session, const std::string& device,
                                      const SnapshotId& snapshot, const std::string& what);

  void count(std::uint64_t entries, std::uint64_t bytes) {
    entries_ = entries;
    bytes_ = bytes;
  }
  // Says how it ended, and gives that; where it succeeded and that cannot be said, the error.
  Status end(Status done);

 private:
  AuditedRestore(Session& session, std::string path) : session_(&session), path_(std::move(path)) {}
  Session* session_;
  std::string path_;  // Of the call that ends it; "": the origin knows no such.
  std::uint64_t entries_ = 0, bytes_ = 0;
};

}  // namespace lamina::origin::cli
