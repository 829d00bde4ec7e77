// ProtectionRules: what a policy says of a device's paths (shared/image/protection.hpp decides by
// them). Part of policies and of snapshot records. Plain values.
#pragma once

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
  bool operator==(const ProtectionRules&) const = default;
};

// Of one policy: rules, patterns of all of them, and bytes of all names and patterns.
inline constexpr std::size_t kProtectionRulesMax = 64;
inline constexpr std::size_t kProtectionPatternsMax = 256;
inline constexpr std::size_t kProtectionBytesMax = std::size_t{32} << 10;

// `invalid` names the bound that they exceed.
Status check_bounds(const ProtectionRules& rules);

void encode(const std::vector<ProtectionRule>& rules, Writer& out);
// With more than the bounds allow, the reader has failed.
std::vector<ProtectionRule> decode_protection_rules(Reader& in);

}  // namespace lamina::format
