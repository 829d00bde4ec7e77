#include <map>

#include "origin/catalog/rows.hpp"
#include "origin/catalog/secret.hpp"
#include "shared/policy/bandwidth_rules.hpp"
#include "shared/wire/protocol.hpp"

namespace lamina::origin {
namespace {

constexpr const char* kRow = "bandwidth-rules";

// Every site that a rule names exists, and no site's devices are sent more than they take.
Status check_sites(const Rows& rows, const policy::BandwidthRules& rules) {
  const auto size_of = [](const policy::BandwidthRule& rule) {
    return static_cast<std::int64_t>(policy::to_csv(rule).size()) + 1;
  };
  auto of_all = static_cast<std::int64_t>(policy::to_csv(policy::BandwidthRules{}).size());
  std::map<std::string, std::int64_t> of_site;
  for (const policy::BandwidthRule& rule : rules)
    (rule.site.empty() ? of_all : of_site[rule.site]) += size_of(rule);
  std::string largest = "any";
  std::int64_t most = 0;
  for (const auto& [name, bytes] : of_site) {
    if (auto site = load_site(rows, name); !site) return fail(std::move(site.error()));
    if (bytes > most) most = bytes, largest = name;
  }
  const Bytes sent{of_all + most};
  if (sent > wire::kSiteRulesMax)
    return fail(ErrorKind::refused, "the devices of site '" + largest + "' would be sent " +
                                        to_text(sent) + " of rules, and take " +
                                        to_text(wire::kSiteRulesMax) +
                                        "; use fewer rules without a site");
  return Done{};
}

}  // namespace

Result<std::string> Catalog::bandwidth_rules() const {
  return reading<std::string>(table_, [](const Rows& rows) -> Result<std::string> {
    auto csv = rows.get(kRow);
    if (!csv) return fail(std::move(csv.error()));
    return *csv ? **csv : policy::to_csv(policy::BandwidthRules{});
  });
}

Status Catalog::set_bandwidth_rules(const Act& act, std::string_view text) {
  auto rules = policy::parse_bandwidth_rules(text);
  if (!rules) return fail(std::move(rules.error()));
  const std::string csv = policy::to_csv(*rules);
  return table_.write([&](Rows& rows) -> Status {
    if (auto good = check_sites(rows, *rules); !good) return good;
    if (auto put = rows.put(kRow, csv); !put) return put;
    return append_audit(rows, act, "rules.set", "bandwidth",
                        std::to_string(rules->size()) + " rules, sha256=" + sha256_hex(csv));
  });
}

}  // namespace lamina::origin
