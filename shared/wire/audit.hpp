// The audit log page by page, for whoever recomputes its chain (origin/catalog/audit_chain.hpp).
//
// Plain values. Parse rules as in enrol.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/wire/admin.hpp"

namespace lamina::wire {

// GET /v1/audit/after/{number}: the entries above `number` up to `looked_to`, ascending, as the
// origin has them. The next page is after `looked_to`, until that is `newest`. An entry of a number
// that was looked at and does not come is missing.
inline constexpr std::size_t kAuditPageMax = 1000;
struct AuditPage {
  std::vector<AuditEntry> entries;
  std::uint64_t looked_to = 0;
  std::uint64_t newest = 0;
};

std::string to_json(const AuditPage& message);
Result<AuditPage> parse_audit_page(std::string_view text);

}  // namespace lamina::wire
