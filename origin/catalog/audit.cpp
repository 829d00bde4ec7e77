// The audit chain: every entry's hash covers the hash before it, so that an entry can be neither
// changed nor removed without every later hash changing too. Exporting the head pins the whole.
#include "origin/catalog/rows.hpp"
#include "origin/catalog/secret.hpp"

namespace lamina::origin {
namespace {

constexpr std::string_view kBeforeTheFirst =
    "0000000000000000000000000000000000000000000000000000000000000000";

// The hash covers the entry's JSON with an empty hash field, after the previous hash.
std::string link_hash(std::string_view previous, wire::AuditEntry entry) {
  entry.hash.clear();
  return sha256_hex(std::string(previous) + "\n" + wire::to_json(entry));
}

}  // namespace

Status append_audit(Rows& rows, const Act& act, const std::string& action,
                    const std::string& object, const std::string& detail) {
  auto last = rows.last_key("audit/");
  if (!last) return fail(std::move(last.error()));
  std::uint64_t number = 1;
  std::string previous(kBeforeTheFirst);
  if (*last) {
    auto entry = load(rows, **last, wire::parse_audit_entry, "the audit log ends early");
    if (!entry) return fail(std::move(entry.error()));
    number = entry->number + 1;
    previous = entry->hash;
  }
  wire::AuditEntry entry{.number = number,
                         .time_ms = ms(act.now),
                         .actor = printable(act.actor, 64),
                         .action = action,
                         .object = printable(object, 120),
                         .detail = printable(detail, 1000)};
  entry.hash = link_hash(previous, entry);
  return rows.put("audit/" + digits(number), wire::to_json(entry));
}

Status Catalog::audit(const Act& act, const std::string& action, const std::string& object,
                      const std::string& detail) {
  return table_.write([&](Rows& rows) { return append_audit(rows, act, action, object, detail); });
}

Result<wire::AuditList> Catalog::audit_log(std::size_t limit) const {
  return reading<wire::AuditList>(table_, [&](const Rows& rows) -> Result<wire::AuditList> {
    wire::AuditList list;
    std::string previous(kBeforeTheFirst);
    std::uint64_t number = 0;
    std::vector<wire::AuditEntry> newest;  // At most 2 * limit, trimmed to the last `limit`.
    auto scanned = rows.scan("audit/", [&](std::string_view, std::string_view value) {
      auto entry = wire::parse_audit_entry(value);
      if (!entry || entry->number != number + 1 || entry->hash != link_hash(previous, *entry)) {
        list.intact = false;
        if (!entry) return true;
      }
      number = entry->number;
      previous = entry->hash;
      newest.push_back(std::move(*entry));
      if (newest.size() >= 2 * limit + 1)
        newest.erase(newest.begin(), newest.end() - static_cast<std::ptrdiff_t>(limit));
      return true;
    });
    if (!scanned) return fail(std::move(scanned.error()));
    const std::size_t kept = std::min(limit, newest.size());
    list.entries.assign(std::make_move_iterator(newest.end() - static_cast<std::ptrdiff_t>(kept)),
                        std::make_move_iterator(newest.end()));
    list.head = previous;
    return list;
  });
}

}  // namespace lamina::origin
