#include "shared/image/capture_rules.hpp"

#include <algorithm>

#include "shared/base/bytes.hpp"
#include "shared/format/path.hpp"

namespace lamina::image {
namespace {

std::ptrdiff_t depth(std::string_view path) { return std::ranges::count(path, '/') + 1; }

// Whether something beneath the directory may match.
bool reaches_beneath(std::string_view pattern, std::string_view directory) {
  if (depth(pattern) <= depth(directory)) return false;
  std::size_t end = 0;
  for (std::ptrdiff_t i = 0; i < depth(directory); ++i) end = pattern.find('/', end) + 1;
  return matches(pattern.substr(0, end - 1), directory);
}

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

Status check_pattern(std::string_view pattern) {
  if (pattern.empty()) return fail(ErrorKind::invalid, "an empty pattern covers everything");
  if (auto good = format::check_path(pattern); !good) return good;
  if (pattern.substr(0, pattern.find('/')) == "*" && depth(pattern) == 1)
    return fail(ErrorKind::invalid, "the pattern '*' covers everything");
  if (pattern.find("**") != std::string_view::npos)
    return fail(ErrorKind::invalid, "'" + printable(pattern, 200) +
                                        "' has '**': a rule covers all beneath what it matches "
                                        "anyway, and '*' stays within a component");
  return Done{};
}

CaptureRules::Decision CaptureRules::decide(std::string_view path, bool is_directory) const {
  if (const Rule* rule = factory_rule(path, is_directory))
    return {Take::leave_out, rule->name, rule->area == Area::runtime};
  for (const OwnRule& rule : own_) {
    if (rule.take == Take::keep && is_directory && reaches_beneath(rule.pattern, path))
      return {Take::keep, rule.name};
    if (path.empty() || !matches(rule.pattern, path)) continue;
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
