#include "shared/image/path_pattern.hpp"

#include <algorithm>
#include <optional>

#include "shared/base/bytes.hpp"
#include "shared/base/wildcard.hpp"
#include "shared/format/path.hpp"

namespace lamina::image {
namespace {

constexpr std::string_view kAnyDepth = "**";

}  // namespace

std::string_view take_component(std::string_view& path) {
  const std::size_t end = std::min(path.find('/'), path.size());
  const std::string_view component = path.substr(0, end);
  path.remove_prefix(std::min(end + 1, path.size()));
  return component;
}

// What stands between two "**" is found where it fits first: all that comes after it fits there if
// it fits anywhere, because a match reaches to whatever lies beneath. So only the last "**" is ever
// tried again.
bool matches(std::string_view pattern, std::string_view path) {
  struct Retry {
    std::string_view pattern, path;
  };
  std::optional<Retry> retry;
  while (!pattern.empty()) {
    const std::string_view component = take_component(pattern);
    if (component == kAnyDepth && !pattern.empty()) {
      retry = {pattern, path};
      continue;
    }
    // A later try would have even less to match.
    if (path.empty()) return false;
    if (matches_wildcard(component, take_component(path))) continue;
    if (!retry) return false;
    take_component(retry->path);
    pattern = retry->pattern;
    path = retry->path;
  }
  return true;
}

bool may_match_beneath(std::string_view pattern, std::string_view directory) {
  while (!pattern.empty() && !directory.empty()) {
    const std::string_view component = take_component(pattern);
    if (component == kAnyDepth) return true;
    if (!matches_wildcard(component, take_component(directory))) return false;
  }
  return true;
}

Status check_pattern(std::string_view pattern) {
  if (pattern.empty()) return fail(ErrorKind::invalid, "an empty pattern covers everything");
  const std::string what = "pattern '" + printable(pattern, 200) + "'";
  if (auto good = format::check_path(pattern); !good)
    return fail(ErrorKind::invalid, what +
                                        " is a path within the volume, as in srv/data, without '/' "
                                        "at its ends: " +
                                        good.error().text());
  if (matches(pattern, "x") && matches(pattern, "y/z"))
    return fail(ErrorKind::invalid, what + " covers everything");
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view component = take_component(rest);
    if (component.find(kAnyDepth) != std::string_view::npos && component != kAnyDepth)
      return fail(ErrorKind::invalid,
                  what + ": '**' stands alone between two '/'; '*' is a part of a name");
  }
  return Done{};
}

// Debian's. Whose homes these are is the factory rules' user area too (rules.cpp).
std::span<const PathMacro> path_macros() {
  static const std::vector<PathMacro> macros = {
      {"home", {"home/*", "root"}},
      {"cache", {"home/*/.cache", "root/.cache", "var/cache"}},
      {"logs", {"var/log"}},
      {"trash", {"home/*/.local/share/Trash", "root/.local/share/Trash"}},
  };
  return macros;
}

Result<std::vector<std::string>> expand_pattern(std::string_view text) {
  std::vector<std::string> patterns;
  if (text.starts_with('{')) {
    const std::size_t end = text.find('}');
    const std::string_view name = text.substr(1, end == std::string_view::npos ? end : end - 1);
    const auto macro = std::ranges::find(path_macros(), name, &PathMacro::name);
    if (end == std::string_view::npos || macro == path_macros().end()) {
      std::string known;
      for (const PathMacro& one : path_macros()) known += " {" + std::string(one.name) + "}";
      return fail(ErrorKind::invalid, "pattern '" + printable(text, 200) +
                                          "' begins with no macro that there is:" + known);
    }
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && rest.front() != '/')
      return fail(ErrorKind::invalid,
                  "pattern '" + printable(text, 200) + "': after a macro comes a '/', or nothing");
    for (const std::string_view place : macro->places)
      patterns.push_back(std::string(place) + std::string(rest));
  } else {
    patterns.emplace_back(text);
  }
  for (const std::string& pattern : patterns)
    if (auto good = check_pattern(pattern); !good) return fail(std::move(good.error()));
  return patterns;
}

}  // namespace lamina::image
