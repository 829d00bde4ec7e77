#include "origin/catalog/audit_log.hpp"
#include "origin/catalog/rows.hpp"

namespace lamina::origin {
namespace {

constexpr std::string_view kPrefix = "audit/";

Result<AuditHead> load_head(const Rows& rows) {
  auto last = rows.last_key(kPrefix);
  if (!last) return fail(std::move(last.error()));
  if (!*last) return AuditHead{};
  auto entry = load(rows, **last, wire::parse_audit_entry, "the audit log ends early");
  if (!entry) return fail(std::move(entry.error()));
  return AuditHead{entry->number, entry->hash};
}

}  // namespace

Status append_audit(Rows& rows, const Act& act, const std::string& action,
                    const std::string& object, const std::string& detail) {
  auto head = load_head(rows);
  if (!head) return fail(std::move(head.error()));
  wire::AuditEntry entry{.number = head->number + 1,
                         .time_ms = ms(act.now),
                         .actor = printable(act.actor, 64),
                         .action = action,
                         .object = printable(object, 120),
                         .detail = printable(detail, 1000)};
  entry.hash = audit_hash(head->hash, entry);
  return rows.put(std::string(kPrefix) + digits(entry.number), wire::to_json(entry));
}

Status Catalog::audit(const Act& act, const std::string& action, const std::string& object,
                      const std::string& detail) {
  return table_.write([&](Rows& rows) { return append_audit(rows, act, action, object, detail); });
}

Result<wire::AuditList> Catalog::audit_log(std::size_t limit) const {
  return reading<wire::AuditList>(table_, [&](const Rows& rows) -> Result<wire::AuditList> {
    wire::AuditList list;
    AuditChain chain;
    std::vector<wire::AuditEntry> newest;  // At most 2 * limit, trimmed to the last `limit`.
    auto scanned = rows.scan(kPrefix, [&](std::string_view, std::string_view value) {
      auto entry = wire::parse_audit_entry(value);
      if (!entry || !chain.add(*entry).empty()) list.intact = false;
      if (!entry) return true;
      newest.push_back(std::move(*entry));
      if (newest.size() >= 2 * limit + 1)
        newest.erase(newest.begin(), newest.end() - static_cast<std::ptrdiff_t>(limit));
      return true;
    });
    if (!scanned) return fail(std::move(scanned.error()));
    const std::size_t kept = std::min(limit, newest.size());
    list.entries.assign(std::make_move_iterator(newest.end() - static_cast<std::ptrdiff_t>(kept)),
                        std::make_move_iterator(newest.end()));
    list.head = chain.head().hash;
    return list;
  });
}

Result<wire::AuditPage> AuditLog::after(std::uint64_t number, std::size_t limit) const {
  return reading<wire::AuditPage>(table_, [&](const Rows& rows) -> Result<wire::AuditPage> {
    auto head = load_head(rows);
    if (!head) return fail(std::move(head.error()));
    wire::AuditPage page;
    page.newest = head->number;
    page.looked_to =
        number + std::min<std::uint64_t>(limit, page.newest - std::min(number, page.newest));
    for (std::uint64_t at = number + 1; at <= page.looked_to; ++at) {
      auto entry = load(rows, std::string(kPrefix) + digits(at), wire::parse_audit_entry, "");
      if (!entry && entry.error().kind() == ErrorKind::not_found) continue;  // The chain shows it.
      if (!entry) return fail(std::move(entry.error()));
      page.entries.push_back(std::move(*entry));
    }
    return page;
  });
}

Result<AuditHead> AuditLog::head() const { return reading<AuditHead>(table_, load_head); }

}  // namespace lamina::origin
