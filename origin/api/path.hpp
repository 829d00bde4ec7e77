// A request's path in parts: "/v1/devices/0a/assign" is {"v1", "devices", "0a", "assign"}.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lamina::origin {

inline std::vector<std::string> path_parts(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty() && path[0] == '/') {
    path.remove_prefix(1);
    const auto part = path.substr(0, path.find('/'));
    parts.emplace_back(part);
    path.remove_prefix(part.size());
  }
  return parts;
}

}  // namespace lamina::origin
