// AuditLog: the audit log as it lies in the catalogue, for whoever checks or pins it. It only
// reads: every change of the catalogue appends its own entry.
#pragma once

#include "origin/catalog/audit_chain.hpp"
#include "origin/catalog/table.hpp"
#include "shared/wire/audit.hpp"

namespace lamina::origin {

class AuditLog {
 public:
  // `table` outlives this.
  explicit AuditLog(const Table& table) : table_(table) {}

  // As wire::AuditPage says, of at most `limit` numbers. Nothing is recomputed. `corrupt` names a
  // row that does not parse.
  Result<wire::AuditPage> after(std::uint64_t number, std::size_t limit) const;
  Result<AuditHead> head() const;

 private:
  const Table& table_;
};

}  // namespace lamina::origin
