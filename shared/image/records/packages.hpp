// Which packages a tree has, from its package database. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lamina::image {

inline constexpr std::string_view kDpkgStatus = "var/lib/dpkg/status";

struct InstalledPackage {
  std::string name;
  std::string version;
  std::string architecture;
  bool operator==(const InstalledPackage&) const = default;
};

// Of a dpkg status file: those that are installed, by name and architecture. Packages of which the
// settings alone are left, or whose installation was broken off, are not among them.
std::vector<InstalledPackage> installed_packages(std::string_view status);

}  // namespace lamina::image
