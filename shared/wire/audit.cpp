#include "shared/wire/audit.hpp"

#include "shared/wire/audit_fields.hpp"

namespace lamina::wire {

template <class A>
void fields(A& a, AuditPage& m) {
  a("entries", m.entries);
  a("looked_to", m.looked_to);
  a("newest", m.newest);
}

std::string to_json(const AuditPage& message) { return write_message(message); }

Result<AuditPage> parse_audit_page(std::string_view text) {
  return read_message<AuditPage>(text, "audit page");
}

}  // namespace lamina::wire
