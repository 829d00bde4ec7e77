// Patterns of paths, as factory rules, administrators' capture rules and policies have them.
//
// A pattern is compared component by component: '*' stands for any run of bytes within one, a
// component "**" for any number of components, none included, and at the end for any number but
// none. It matches the paths that fit and all that lies beneath them, so that "srv/data" covers
// that directory, and "srv/data/*" what is in it and not the directory. The cost of a match grows
// with the product of both lengths at most. Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina::image {

// Whether `path` or a directory above it fits `pattern`.
bool matches(std::string_view pattern, std::string_view path);

// Whether `pattern` may match the directory or something beneath it. Never false when it does; it
// looks at no file.
bool may_match_beneath(std::string_view pattern, std::string_view directory);

// `invalid`, naming the pattern, unless it is a relative path without "." and "..", "**" stands
// alone in its component, and something is left that it does not match.
Status check_pattern(std::string_view pattern);

// Words in braces that stand for the places of a system; a pattern that begins with one becomes a
// pattern for each place.
struct PathMacro {
  std::string_view name;  // "home" for "{home}".
  std::vector<std::string_view> places;
};
std::span<const PathMacro> path_macros();

// The good patterns (check_pattern) that `text` stands for. `invalid` names the pattern, or a macro
// that is none together with those that there are.
Result<std::vector<std::string>> expand_pattern(std::string_view text);

// Takes the first component off.
std::string_view take_component(std::string_view& path);

}  // namespace lamina::image
