#include "origin/cli/policy_file.hpp"

#include "origin/cli/toml_reader.hpp"
#include "shared/image/protection.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin::cli {
namespace {

using format::ProtectionRule;
using Rules = std::vector<ProtectionRule>;

void read_rule(TomlReader& in, const toml::node& node, const char* area, Rules& rules) {
  const auto* table = node.as_table();
  if (table == nullptr) return in.wrong(node, std::string("a rule is a table: [[") + area + "]]");
  ProtectionRule rule;
  in.table(*table, {{"name", in.text(rule.name)},
                    {"paths", in.texts(rule.paths)},
                    {"except", in.texts(rule.except)}});
  in.needs(*table, "name");
  in.needs(*table, "paths");
  if (in.error()) return;
  // Alone, so that what is wrong with it is told with its line.
  const bool is_user = std::string_view(area) == "user";
  auto good = image::Protection::make(
      {.unprotected = is_user ? Rules{} : Rules{rule}, .user = is_user ? Rules{rule} : Rules{}});
  if (!good) return in.wrong(node, good.error().text());
  for (const ProtectionRule& other : rules)
    if (other.name == rule.name)
      return in.wrong(node, "there is a rule '" + rule.name + "' already: give it another name");
  rules.push_back(std::move(rule));
}

void read_retention(TomlReader& in, const toml::node& node, wire::RetentionRule& rule) {
  const auto* table = node.as_table();
  if (table == nullptr) return in.wrong(node, "the retention is a table: [retention]");
  const auto count = [&in](int& value) { return in.number(value, 0, wire::kRetentionMax); };
  in.table(*table, {{"newest", count(rule.newest)},
                    {"hourly", count(rule.hourly)},
                    {"daily", count(rule.daily)},
                    {"weekly", count(rule.weekly)},
                    {"monthly", count(rule.monthly)}});
}

// As a TOML string: JSON's escapes are TOML's too.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      out += c;
    } else {
      constexpr const char* kHex = "0123456789abcdef";
      out += "\\u00";
      out += kHex[(c >> 4) & 15];
      out += kHex[c & 15];
    }
  }
  return out + '"';
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + quoted(text);
  return out + "]";
}

void write_rules(const char* area, const Rules& rules, std::string& out) {
  for (const ProtectionRule& rule : rules) {
    out += std::string("\n[[") + area + "]]\nname = " + quoted(rule.name) +
           "\npaths = " + list_of(rule.paths) + '\n';
    if (!rule.except.empty()) out += "except = " + list_of(rule.except) + '\n';
  }
}

}  // namespace

Result<wire::PolicyRequest> parse_policy_file(std::string_view text, const std::string& file) {
  auto parsed = parse_toml(text, file);
  if (!parsed) return fail(std::move(parsed.error()));
  wire::PolicyRequest policy;
  TomlReader in(file);
  const auto rules = [&in](const char* area, Rules& list) {
    return [&in, area, &list](const toml::node& node) {
      in.each(node, "rules are tables in double brackets",
              [&](const toml::node& rule) { read_rule(in, rule, area, list); });
    };
  };
  in.table(*parsed, {{"name", in.text(policy.name)},
                     {"interval",
                      [&](const toml::node& node) {
                        auto& interval_ms = policy.interval_ms.emplace();
                        in.duration(interval_ms)(node);
                        if (!in.error() && (interval_ms < wire::kSyncIntervalMinMs ||
                                            interval_ms > wire::kSyncIntervalMaxMs))
                          in.wrong(node,
                                   "an interval is from 1 minute to 31 days, as in \"30 min\"");
                      }},
                     {"unprotected", rules("unprotected", policy.rules.unprotected)},
                     {"user", rules("user", policy.rules.user)},
                     {"volumes", in.texts(policy.rules.volumes)},
                     {"retention", [&](const toml::node& node) {
                        read_retention(in, node, policy.retention.emplace());
                      }}});
  in.needs(*parsed, "name");
  if (in.error()) return fail(*in.error());
  if (auto good = image::Protection::make(policy.rules); !good)
    return fail(std::move(good.error()).in(file));
  return policy;
}

Result<wire::PolicyRequest> read_policy_file(const std::string& path) {
  constexpr std::size_t kFileMax = std::size_t{1} << 20;
  auto text = os::read_text(path, kFileMax);
  if (!text) return fail(std::move(text.error()).in("reading the policy"));
  return parse_policy_file(*text, path);
}

std::string policy_file(const wire::PolicyInfo& info) {
  std::string out = "name = " + quoted(info.policy.name) + '\n';
  if (info.policy.interval_ms)
    out += "interval = \"" + std::to_string(*info.policy.interval_ms) + " ms\"\n";
  if (!info.policy.rules.volumes.empty())
    out += "volumes = " + list_of(info.policy.rules.volumes) + '\n';
  write_rules("unprotected", info.policy.rules.unprotected, out);
  write_rules("user", info.policy.rules.user, out);
  if (info.retention)
    out += "\n[retention]\nnewest = " + std::to_string(info.retention->newest) +
           "\nhourly = " + std::to_string(info.retention->hourly) +
           "\ndaily = " + std::to_string(info.retention->daily) +
           "\nweekly = " + std::to_string(info.retention->weekly) +
           "\nmonthly = " + std::to_string(info.retention->monthly) + '\n';
  return out;
}

}  // namespace lamina::origin::cli
