#include "origin/cli/session.hpp"
#include "shared/os/file.hpp"
#include "shared/policy/bandwidth_rules.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

using policy::BandwidthRule;
using policy::BandwidthRules;

struct RuleFile {
  std::string text;
  BandwidthRules rules;
};

// The file's rules, checked; errors name file, line and field.
Result<RuleFile> read_rules(const std::string& path) {
  auto text = os::read_text(path, static_cast<std::size_t>(policy::kRulesTextMax.count));
  if (!text) return fail(std::move(text.error()));
  auto rules = policy::parse_bandwidth_rules(*text);
  if (!rules) return fail(std::move(rules.error()).in(path));
  return RuleFile{std::move(*text), std::move(*rules)};
}

void tell(Session& s, const BandwidthRules& rules, const std::string& what) {
  const std::string count = std::to_string(rules.size());
  if (s.json)
    *s.out << "{\"rules\":" << count << "}\n";
  else
    *s.out << count << (rules.size() == 1 ? " rule " : " rules ") << what << '\n';
}

Result<std::string> fetch(Session& s) {
  auto body = s.get("/v1/rules");
  if (!body) return body;
  auto set = wire::parse_rule_set(*body);
  if (!set) return fail(std::move(set.error()));
  return std::move(set->csv);
}

Status import_rules(Session& s, const std::string& path) {
  auto file = read_rules(path);
  if (!file) return fail(std::move(file.error()));
  auto body = s.call("PUT", "/v1/rules", wire::to_json(wire::RuleSet{file->text}));
  if (!body) return fail(std::move(body.error()));
  tell(s, file->rules, s.dry_run ? "would be in force" : "in force");
  return Done{};
}

// Reads the file as the origin would; needs no origin.
Status check_rules(Session& s, const std::string& path) {
  auto file = read_rules(path);
  if (!file) return fail(std::move(file.error()));
  tell(s, file->rules, "in " + path + ", all good");
  return Done{};
}

Status export_rules(Session& s, const std::string& path) {
  auto csv = fetch(s);
  if (!csv) return fail(std::move(csv.error()));
  if (path.empty()) return *s.out << *csv, Done{};
  return os::write_file(path, as_view(*csv));
}

Status list_rules(Session& s) {
  auto csv = fetch(s);
  if (!csv) return fail(std::move(csv.error()));
  if (s.json) return *s.out << wire::to_json(wire::RuleSet{*csv}) << '\n', Done{};
  auto rules = policy::parse_bandwidth_rules(*csv);
  if (!rules) return fail(std::move(rules.error()).in("the origin's rules"));
  Session::Rows rows{{"SUBNET", "SITE", "DOWNLOAD", "UPLOAD", "FROM", "TO", "DAYS"}};
  const auto speed = [](const std::string& kb) { return kb.empty() ? "no limit" : kb + " KB/s"; };
  const auto any = [](const std::string& text) { return text.empty() ? "any" : text; };
  for (const BandwidthRule& rule : *rules) {
    // The days come last, and alone may hold commas.
    std::vector<std::string> fields;
    std::string rest = policy::to_csv(rule);
    while (fields.size() < 6) {
      const auto comma = rest.find(',');
      fields.push_back(rest.substr(0, comma));
      rest.erase(0, comma + 1);
    }
    std::erase(rest, '"');
    rows.push_back({any(fields[0]), any(fields[1]), speed(fields[2]), speed(fields[3]), fields[4],
                    fields[5], rest});
  }
  s.table(rows);
  return Done{};
}

}  // namespace

void add_rule(CLI::App& app, Run& run) {
  auto* rule = app.add_subcommand("rule", "how fast sites may use the line, and when");
  rule->require_subcommand(1);
  rule->footer(
      "A rule a line: subnet,site,download KB/s,upload KB/s,start,end,days\n"
      "Example: lamina rule import rules.csv");
  const auto path = std::make_shared<std::string>();
  // Not `import`: that is a word of its own to clang-format.
  auto* bring_in = rule->add_subcommand("import", "put a file's rules in the place of all rules");
  bring_in->footer("Example: lamina rule import rules.csv");
  bring_in->add_option("FILE", *path, "CSV")->required();
  bring_in->callback([&run, path] { run = [path](Session& s) { return import_rules(s, *path); }; });
  auto* write = rule->add_subcommand("export", "the rules as CSV");
  write->footer("Example: lamina rule export rules.csv");
  write->add_option("FILE", *path, "where to; without it, to standard output");
  write->callback([&run, path] { run = [path](Session& s) { return export_rules(s, *path); }; });
  auto* list = rule->add_subcommand("ls", "list the rules");
  list->footer("Example: lamina rule ls");
  list->callback([&run] { run = list_rules; });
  auto* check = rule->add_subcommand("check", "read a file as import does, and change nothing");
  check->footer("Example: lamina rule check rules.csv");
  check->add_option("FILE", *path, "CSV")->required();
  check->callback([&run, path] { run = [path](Session& s) { return check_rules(s, *path); }; });
}

}  // namespace lamina::origin::cli
