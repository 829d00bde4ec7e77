#include "shared/format/path.hpp"

#include <algorithm>
#include <string>

#include "shared/base/bytes.hpp"

namespace lamina::format {

Status check_path(std::string_view path) {
  if (path.empty()) return Done{};
  const auto wrong = [&](std::string_view why) {
    return fail(ErrorKind::invalid, "path '" + printable(path, 200) + "' " + std::string(why));
  };
  if (path.size() > kPathMax) return wrong("is longer than 4096 bytes");
  if (path.find('\0') != std::string_view::npos) return wrong("holds a NUL byte");
  if (path.front() == '/') return wrong("is absolute");
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string_view component = path.substr(start, end - start);
    if (component.empty()) return wrong("has an empty component");
    if (component == "." || component == "..") return wrong("has a '.' or '..' component");
    if (component.size() > kComponentMax) return wrong("has a component longer than 255 bytes");
    start = end + 1;
  }
  return Done{};
}

std::strong_ordering compare_paths(std::string_view a, std::string_view b) {
  const auto rank = [](char c) {
    return c == '/' ? -1 : static_cast<int>(static_cast<unsigned char>(c));
  };
  const auto [x, y] = std::ranges::mismatch(a, b);
  if (x == a.end() || y == b.end()) return a.size() <=> b.size();
  return rank(*x) <=> rank(*y);
}

bool is_within(std::string_view path, std::string_view directory) {
  if (directory.empty()) return true;
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace lamina::format
