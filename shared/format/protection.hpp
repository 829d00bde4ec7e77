// ProtectionRules: what a policy says of a device's paths (shared/image/protection.hpp decides by
// them). Part of policies and of snapshot records. Plain values.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "shared/codec/reader.hpp"
#include "shared/codec/writer.hpp"

namespace lamina::format {

struct ProtectionRule {
  std::string name;                // Stands in reports.
  std::vector<std::string> paths;  // Patterns (shared/image/path_pattern.hpp), with macros.
  std::vector<std::string> except;
  bool operator==(const ProtectionRule&) const = default;
};

struct ProtectionRules {
  std::vector<ProtectionRule> unprotected;  // Snapshots leave it out.
  std::vector<ProtectionRule> user;         // The users' own, beside their homes.
  // Places of other file systems that are protected too, wherever one is mounted there: paths in
  // the device's tree.
  std::vector<std::string> volumes = {};
  bool operator==(const ProtectionRules&) const = default;
};

// Of one policy: rules, patterns of all of them, volumes, and bytes of all names and patterns.
inline constexpr std::size_t kProtectionRulesMax = 64;
inline constexpr std::size_t kProtectionPatternsMax = 256;
inline constexpr std::size_t kProtectedVolumesMax = 32;
inline constexpr std::size_t kProtectionBytesMax = std::size_t{32} << 10;

// `invalid` names the bound that they exceed.
Status check_bounds(const ProtectionRules& rules);

void encode(const std::vector<ProtectionRule>& rules, Writer& out);
// With more than the bounds allow, the reader has failed.
std::vector<ProtectionRule> decode_protection_rules(Reader& in);

// Volumes by their places, in path order without doubles. The reader has failed with another order,
// with none, and with what is no place within a tree.
void encode(std::span<const std::string> volumes, Writer& out);
std::vector<std::string> decode_volumes(Reader& in);

// The innermost of `volumes`, in any order, that `path` lies beneath; none: the device's first one.
// The directory at a volume's place counts for the one around it, which has it for the mount.
const std::string* volume_of(std::string_view path, std::span<const std::string> volumes);

}  // namespace lamina::format
