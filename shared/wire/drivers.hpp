// Which machines get which driver layers: what administrators and the origin say to each other.
//
// Plain values. Parse rules as in enrol.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/result.hpp"

namespace lamina::wire {

// PUT /v1/drivers makes the rule of a driver layer, or takes the place of the one that there is for
// its name.
struct DriverRule {
  std::string layer;            // "NAME:VERSION", of kind "driver".
  std::string filter;           // Of the devices that get it: shared/policy/device_filter.hpp.
  std::int64_t order = 0;       // Of several for one device the higher one wins; equal: by name.
  std::int64_t changed_ms = 0;  // Filled in by the origin.
  bool operator==(const DriverRule&) const = default;
};
inline constexpr std::int64_t kDriverOrderMax = 1'000'000;
struct DriverRuleList {  // GET /v1/drivers, in the order in which they come to a stack.
  std::vector<DriverRule> rules;
};

std::string to_json(const DriverRule& message);
std::string to_json(const DriverRuleList& message);
Result<DriverRule> parse_driver_rule(std::string_view text);
Result<DriverRuleList> parse_driver_rule_list(std::string_view text);

}  // namespace lamina::wire
