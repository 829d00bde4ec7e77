#include "origin/cli/capture_rules_file.hpp"

#include "origin/cli/toml_reader.hpp"
#include "shared/format/record.hpp"
#include "shared/os/file.hpp"

namespace lamina::origin::cli {
namespace {

void read_rule(TomlReader& in, const toml::node& node, std::vector<image::OwnRule>& rules) {
  const auto* table = node.as_table();
  if (table == nullptr) return in.wrong(node, "a rule is a table: [[rule]]");
  image::OwnRule rule;
  std::string take = "leave-out";
  std::vector<std::string> patterns;
  in.table(*table,
           {{"name", in.text(rule.name)}, {"take", in.text(take)}, {"paths", in.texts(patterns)}});
  in.needs(*table, "name");
  in.needs(*table, "paths");
  if (in.error()) return;
  if (auto good = format::check_name(rule.name, "rule name"); !good)
    return in.wrong(node, good.error().text());
  auto parsed = image::parse_take(take);
  if (!parsed) return in.wrong(node, "take: " + parsed.error().text());
  rule.take = *parsed;
  for (const std::string& text : patterns) {
    auto meant = image::expand_pattern(text);
    if (!meant) return in.wrong(node, "paths: " + meant.error().text());
    for (std::string& pattern : *meant) {
      rule.pattern = std::move(pattern);
      rules.push_back(rule);
    }
  }
}

}  // namespace

Result<image::CaptureRules> parse_capture_rules(std::string_view text, const std::string& file) {
  auto parsed = parse_toml(text, file);
  if (!parsed) return fail(std::move(parsed.error()));
  std::vector<image::OwnRule> rules;
  TomlReader in(file);
  in.table(*parsed, {{"rule", [&](const toml::node& node) {
                        in.each(node, "rules are tables: [[rule]]",
                                [&](const toml::node& rule) { read_rule(in, rule, rules); });
                      }}});
  if (in.error()) return fail(*in.error());
  return image::CaptureRules(std::move(rules));
}

Result<image::CaptureRules> read_capture_rules(const std::string& path) {
  if (path.empty()) return image::CaptureRules();
  auto text = os::read_text(path);
  if (!text) return fail(std::move(text.error()).in("reading the capture rules"));
  return parse_capture_rules(*text, path);
}

}  // namespace lamina::origin::cli
