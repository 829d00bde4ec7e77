#include "shared/image/records/record_format.hpp"

#include "shared/image/records/dpkg_formats.hpp"
#include "shared/image/records/text_formats.hpp"
#include "shared/image/rules.hpp"

namespace lamina::image {

std::string RecordFormat::own(const RecordKey&, const std::string*, const std::string& target,
                              const std::string&) const {
  return target;
}

std::span<const RecordRule> record_rules() {
  static const AccountFormat passwd({.fields = 7});
  static const AccountFormat group({.fields = 4, .sets = 1});
  static const AccountFormat shadow({.fields = 9, .own_from = 1, .own_to = 3});
  static const AccountFormat gshadow({.fields = 4, .sets = 2, .own_from = 1, .own_to = 2});
  static const AccountFormat ranges({.fields = 3});
  static const StanzaFormat packages(StanzaFormat::Key::package);
  static const StanzaFormat package_states(StanzaFormat::Key::package_architecture);
  static const StanzaFormat questions(StanzaFormat::Key::name);
  static const LineFormat interests(LineFormat::Key::interest);
  static const LineFormat pending(LineFormat::Key::first_word);
  static const LineFormat overrides(LineFormat::Key::fourth_word_on);
  static const DiversionFormat diversions;
  static const AlternativeFormat alternatives;
  static const RecordRule rules[] = {
      // Those of etc/ are accounts (holds_accounts).
      {"passwd", "etc/passwd", passwd},
      {"group", "etc/group", group},
      {"shadow", "etc/shadow", shadow},
      {"gshadow", "etc/gshadow", gshadow},
      {"subuid", "etc/subuid", ranges},
      {"subgid", "etc/subgid", ranges},
      {"dpkg-status", "var/lib/dpkg/status", packages},
      {"dpkg-diversions", "var/lib/dpkg/diversions", diversions},
      {"dpkg-statoverride", "var/lib/dpkg/statoverride", overrides},
      {"dpkg-pending-triggers", "var/lib/dpkg/triggers/Unincorp", pending},
      {"dpkg-triggers", "var/lib/dpkg/triggers/*", interests},
      {"dpkg-alternatives", "var/lib/dpkg/alternatives/*", alternatives},
      {"apt-states", "var/lib/apt/extended_states", package_states},
      {"debconf", "var/cache/debconf/config.dat", questions},
      {"debconf", "var/cache/debconf/passwords.dat", questions},
      {"debconf", "var/cache/debconf/templates.dat", questions},
  };
  return rules;
}

const RecordRule* record_rule(std::string_view path) {
  if (!path.starts_with("etc/") && !path.starts_with("var/")) return nullptr;
  for (const RecordRule& rule : record_rules())
    if (matches(rule.pattern, path)) return &rule;
  return nullptr;
}

bool holds_accounts(const RecordRule& rule) { return rule.pattern.starts_with("etc/"); }

bool has_record_rules_beneath(std::string_view path) {
  // No pattern has a '*' before its last component.
  for (const RecordRule& rule : record_rules())
    if (path.empty() || matches(rule.pattern, path) ||
        (rule.pattern.starts_with(path) && rule.pattern.substr(path.size()).starts_with('/')))
      return true;
  return false;
}

}  // namespace lamina::image
