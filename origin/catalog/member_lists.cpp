#include "origin/catalog/rows.hpp"

namespace lamina::origin {

Result<Buffer> Catalog::member_list(const std::string& site) const {
  return reading<Buffer>(table_, [&](const Rows& rows) -> Result<Buffer> {
    auto value = rows.get("member-list/" + site);
    if (!value) return fail(std::move(value.error()));
    if (!*value)
      return fail(ErrorKind::not_found, "site " + printable(site, 80) + " has no member list yet");
    return to_buffer(**value);
  });
}

Status Catalog::keep_member_list(const std::string& site, const Buffer& envelope) {
  return table_.write(
      [&](Rows& rows) { return rows.put("member-list/" + site, std::string(as_text(envelope))); });
}

}  // namespace lamina::origin
