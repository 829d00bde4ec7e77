// Paths of entries: relative, '/'-separated byte strings; "" is the volume's root.
//
// Order: bytes compared as unsigned, with '/' lower than every other byte. That is the order of a
// depth-first walk that visits each directory's names sorted by bytes, so a tree is walked, merged
// and cut into directories as one stream. Pure; any thread.
#pragma once

#include <compare>
#include <string_view>

#include "shared/base/result.hpp"

namespace lamina::format {

constexpr std::size_t kPathMax = 4096;      // PATH_MAX of Linux.
constexpr std::size_t kComponentMax = 255;  // NAME_MAX of Linux.

// `invalid`, naming the path, unless it is relative, has no empty, "." or ".." component, no NUL,
// and keeps the limits. "" is valid.
Status check_path(std::string_view path);

std::strong_ordering compare_paths(std::string_view a, std::string_view b);
struct PathLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return compare_paths(a, b) < 0; }
};

// True if `path` is `directory` or lies beneath it. Everything is beneath "".
bool is_within(std::string_view path, std::string_view directory);

// "a/b" of "a/b/c"; "" of "a" and of "".
std::string_view parent_of(std::string_view path);
// "c" of "a/b/c".
std::string_view name_of(std::string_view path);

}  // namespace lamina::format
