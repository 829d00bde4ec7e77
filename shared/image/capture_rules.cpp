#include "shared/image/capture_rules.hpp"

#include <algorithm>

#include "shared/base/bytes.hpp"

namespace lamina::image {
namespace {

std::ptrdiff_t depth(std::string_view path) { return std::ranges::count(path, '/') + 1; }

}  // namespace

std::string_view name_of(Take take) {
  switch (take) {
    case Take::keep: return "keep";
    case Take::leave_out: return "leave-out";
    case Take::make_empty: return "make-empty";
  }
  return "";
}

Result<Take> parse_take(std::string_view text) {
  for (const Take take : {Take::keep, Take::leave_out, Take::make_empty})
    if (text == name_of(take)) return take;
  return fail(ErrorKind::invalid,
              "'" + printable(text, 40) + "' is none of keep, leave-out, make-empty");
}

CaptureRules::Decision CaptureRules::decide(std::string_view path, bool is_directory) const {
  if (const Rule* rule = protection_.own_rule(path, is_directory))
    return {Take::leave_out, rule->name, rule->area == Area::runtime};
  if (path.empty()) return {};
  for (const OwnRule& rule : own_) {
    if (rule.take == Take::keep && is_directory && may_match_beneath(rule.pattern, path))
      return {Take::keep, rule.name};
    if (!matches(rule.pattern, path)) continue;
    if (rule.take != Take::make_empty) return {rule.take, rule.name};
    // What lies in an emptied directory is left out; the match itself stays.
    if (depth(rule.pattern) < depth(path)) return {Take::leave_out, rule.name};
    return {is_directory ? Take::keep : Take::make_empty, rule.name};
  }
  return {};
}

std::vector<std::string> CaptureRules::names() const {
  std::vector<std::string> names = {"factory"};
  for (const OwnRule& rule : own_)
    if (std::ranges::find(names, rule.name) == names.end()) names.push_back(rule.name);
  return names;
}

}  // namespace lamina::image
