#include "shared/image/protection.hpp"

#include <algorithm>
#include <set>

#include "shared/format/path.hpp"
#include "shared/format/record.hpp"
#include "shared/image/path_pattern.hpp"

namespace lamina::image {
namespace {

using format::ProtectionRule;

constexpr std::string_view kFactory = "factory";  // By what it is called, the factory rules.

bool any_matches(const std::vector<std::string>& patterns, std::string_view path) {
  return std::ranges::any_of(patterns, [&](const std::string& p) { return matches(p, path); });
}

bool any_reaches(const std::vector<std::string>& patterns, std::string_view directory) {
  return std::ranges::any_of(patterns,
                             [&](const std::string& p) { return may_match_beneath(p, directory); });
}

Result<std::vector<std::string>> expand_all(const std::vector<std::string>& texts) {
  std::vector<std::string> all;
  for (const std::string& text : texts) {
    auto patterns = expand_pattern(text);
    if (!patterns) return patterns;
    std::ranges::move(*patterns, std::back_inserter(all));
  }
  return all;
}

// What every system has of its layers: as somebody's own it could never be replaced or repaired.
Status check_user_area(const std::string& pattern) {
  constexpr std::string_view kSystem[] = {"bin",       "boot",        "etc/passwd", "lib",
                                          "sbin",      "usr/bin",     "usr/lib",    "usr/sbin",
                                          "usr/share", "var/lib/dpkg"};
  for (const std::string_view path : kSystem)
    if (matches(pattern, path))
      return fail(ErrorKind::invalid,
                  "a user area '" + printable(pattern, 200) + "' takes in '" + std::string(path) +
                      "', which no layer could change any more: name the users' directories");
  return Done{};
}

}  // namespace

Result<std::vector<Protection::Compiled>> Protection::compile(
    const std::vector<ProtectionRule>& rules) {
  std::vector<Compiled> compiled;
  std::set<std::string_view> names;
  for (const ProtectionRule& rule : rules) {
    if (auto good = format::check_name(rule.name, "rule name"); !good)
      return fail(std::move(good.error()));
    const std::string what = "rule '" + rule.name + "'";
    if (rule.name == kFactory || !names.insert(rule.name).second)
      return fail(ErrorKind::invalid,
                  what + ": each rule has a name of its own, and none is 'factory'");
    if (rule.paths.empty()) return fail(ErrorKind::invalid, what + " has no paths");
    auto paths = expand_all(rule.paths);
    if (!paths) return fail(std::move(paths.error()).in(what));
    auto except = expand_all(rule.except);
    if (!except) return fail(std::move(except.error()).in(what));
    compiled.push_back({rule.name, std::move(*paths), std::move(*except), {}});
  }
  return compiled;
}

Result<Protection> Protection::make(const format::ProtectionRules& rules) {
  if (auto good = format::check_bounds(rules); !good) return fail(std::move(good.error()));
  Protection made;
  auto unprotected = compile(rules.unprotected);
  if (!unprotected) return fail(std::move(unprotected.error()));
  made.unprotected_ = std::move(*unprotected);
  auto user = compile(rules.user);
  if (!user) return fail(std::move(user.error()));
  made.user_ = std::move(*user);
  for (Compiled& rule : made.user_)
    for (const std::string& pattern : rule.paths) {
      if (auto good = check_user_area(pattern); !good)
        return fail(std::move(good.error()).in("rule '" + rule.name + "'"));
      rule.rules.push_back({.name = rule.name, .area = Area::user, .pattern = pattern});
    }
  made.volumes_ = rules.volumes;
  std::ranges::sort(made.volumes_, format::PathLess());
  if (auto good = made.check_volumes(); !good) return fail(std::move(good.error()));
  return made;
}

Status Protection::check_volumes() const {
  for (std::size_t i = 0; i < volumes_.size(); ++i) {
    const std::string& place = volumes_[i];
    const std::string what = "volume '" + printable(place, 200) + "'";
    if (auto good = format::check_path(place); !good || place.empty())
      return fail(ErrorKind::invalid, what +
                                          " is no place within the device's tree: name the "
                                          "directory where it is mounted, as in \"srv/data\"");
    if (i > 0 && volumes_[i - 1] == place)
      return fail(ErrorKind::invalid, what + " is named twice");
    auto rule = left_out_by(place, true);
    if (rule.empty()) rule = left_out_by(place + "/x", true);  // "proc/*" leaves the directory in.
    if (!rule.empty())
      return fail(ErrorKind::invalid,
                  what + " lies in what snapshots leave out, by rule '" + std::string(rule) +
                      (rule == kFactory ? "', which no policy changes: mount it elsewhere"
                                        : "': take it out of one of the two"));
  }
  return Done{};
}

bool Protection::holds_volume(std::string_view place) const {
  return std::ranges::find(volumes_, place) != volumes_.end();
}

const std::string* Protection::covering(const Compiled& rule, std::string_view path,
                                        bool is_directory) {
  const auto found =
      std::ranges::find_if(rule.paths, [&](const std::string& p) { return matches(p, path); });
  if (found == rule.paths.end()) return nullptr;
  const bool is_spared =
      is_directory ? any_reaches(rule.except, path) : any_matches(rule.except, path);
  return is_spared ? nullptr : &*found;
}

const Rule* Protection::own_rule(std::string_view path, bool is_directory) const {
  if (const Rule* factory = factory_rule(path, is_directory)) return factory;
  for (const Compiled& rule : user_)
    if (const std::string* pattern = covering(rule, path, is_directory))
      return &rule.rules[static_cast<std::size_t>(pattern - rule.paths.data())];
  return nullptr;
}

bool Protection::is_user(std::string_view path, bool is_directory) const {
  const Rule* rule = own_rule(path, is_directory);
  return rule && rule->area == Area::user;
}

const Rule* Protection::own_rule_beneath(std::string_view path) const {
  for (const Rule& rule : factory_rules()) {
    if (rule.area == Area::runtime || rule.area == Area::leftover) continue;
    if (!matches(rule.pattern, path) && may_match_beneath(rule.pattern, path)) return &rule;
  }
  for (const Compiled& area : user_)
    for (const Rule& rule : area.rules)
      if (may_match_beneath(rule.pattern, path)) return &rule;
  return nullptr;
}

bool Protection::stays_unowned(std::string_view path, bool is_directory) const {
  return own_rule(path, is_directory) || derived_rule(path) || is_kept_unowned(path) ||
         !in_snapshot(path, is_directory);
}

std::string_view Protection::left_out_by(std::string_view path, bool is_directory) const {
  const Rule* factory = factory_rule(path, is_directory);
  if (factory && (factory->area == Area::runtime || factory->area == Area::lamina)) return kFactory;
  for (const Compiled& rule : unprotected_)
    if (covering(rule, path, is_directory)) return rule.name;
  return {};
}

void ProtectionChange::add(const format::Entry& entry) {
  const auto count = [&](Sum& sum) {
    ++sum.entries;
    sum.bytes += entry.size;
    if (sum.examples.size() < kExamplesMax) sum.examples.push_back(entry.path);
  };
  const bool is_directory = entry.kind == format::EntryKind::directory;
  count(held_);
  const std::string* volume = format::volume_of(entry.path, held_volumes_);
  if (volume && !after_.holds_volume(*volume)) return count(volumes_leave_[*volume]);
  const std::string_view left_out = after_.left_out_by(entry.path, is_directory);
  if (!left_out.empty()) return count(leaves_[std::string(left_out)]);
  if (!before_.in_snapshot(entry.path, is_directory)) count(comes_);
  const bool was_user = before_.is_user(entry.path, is_directory);
  if (was_user != after_.is_user(entry.path, is_directory))
    count(was_user ? becomes_machine_ : becomes_user_);
}

}  // namespace lamina::image
