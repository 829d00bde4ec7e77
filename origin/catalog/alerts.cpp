// Alerts in the catalogue: what is active outlives a restart, and beginning and end are audited in
// the transaction that makes them so.
#include "origin/catalog/rows.hpp"

namespace lamina::origin {
namespace {

std::string key_of(const std::string& kind, const std::string& object) {
  return "alert/" + kind + '/' + object;
}

}  // namespace

Status Catalog::begin_alert(const Act& act, const wire::AlertInfo& alert) {
  return table_.write([&](Rows& rows) -> Status {
    if (auto put = rows.put(key_of(alert.kind, alert.object), wire::to_json(alert)); !put)
      return put;
    return append_audit(rows, act, "alert.begin", alert.object, alert.kind + ": " + alert.text);
  });
}

Status Catalog::end_alert(const Act& act, const std::string& kind, const std::string& object) {
  return table_.write([&](Rows& rows) -> Status {
    if (auto gone = rows.erase(key_of(kind, object)); !gone) return gone;
    return append_audit(rows, act, "alert.end", object, kind);
  });
}

Result<std::vector<wire::AlertInfo>> Catalog::alerts() const {
  return reading<std::vector<wire::AlertInfo>>(
      table_, [](const Rows& rows) { return load_all(rows, "alert/", wire::parse_alert_info); });
}

}  // namespace lamina::origin
