// AuditChain: the hashes that hold the audit log together, for the catalogue that appends to it and
// for whoever checks it elsewhere.
//
// Every entry's hash covers the hash before it, so that an entry can be neither changed nor removed
// without every later hash changing too. What is cut off at the end leaves no trace in the log
// itself: a head that was kept elsewhere (a *pin*) shows it, and shows a log that was written anew.
// Pure values; one thread at a time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shared/wire/admin.hpp"

namespace lamina::origin {

// The end of the log at some time: "1234:<hash, hex>" in text. Number 0: before the first entry.
struct AuditHead {
  std::uint64_t number = 0;
  std::string hash = std::string(64, '0');
  bool operator==(const AuditHead&) const = default;
};
std::string to_text(const AuditHead& head);
// `invalid` unless it is a number, ':' and 64 hex digits.
Result<AuditHead> parse_audit_head(std::string_view text);

// The hash of `entry`, whose own is not looked at, after an entry with the hash `previous`.
std::string audit_hash(std::string_view previous, wire::AuditEntry entry);

class AuditChain {
 public:
  // With `pin`, also whether the log goes through it.
  explicit AuditChain(std::optional<AuditHead> pin = {}) : pin_(std::move(pin)) {}

  // The next entry in the log's order. What is wrong with it, naming the entries; empty: nothing.
  std::vector<std::string> add(const wire::AuditEntry& entry);
  // After the last: what is missing at the end; empty: nothing.
  std::vector<std::string> finish() const;

  const AuditHead& head() const { return head_; }

 private:
  std::optional<AuditHead> pin_;
  AuditHead head_;
};

}  // namespace lamina::origin
