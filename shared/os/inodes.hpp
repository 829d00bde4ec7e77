// What tells a file from another one that had its name before.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina::os {

struct NamedInode {
  std::string name;
  std::uint64_t inode = 0;
  auto operator<=>(const NamedInode&) const = default;
};
// As list_directory(), by name.
Result<std::vector<NamedInode>> list_inodes(const std::string& path);

}  // namespace lamina::os
