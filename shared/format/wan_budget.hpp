// The WAN budget of an assignment: when a device that does not hold its site's lease may fetch from
// the origin after all. As it stands in a device target, and as people write it. Pure; any thread.
#pragma once

#include "shared/format/record.hpp"

namespace lamina::format {

struct BudgetRule {
  WanBudget kind = WanBudget::never;
  std::uint64_t value = 0;  // after: seconds; up_to: bytes; never: 0.
  bool operator==(const BudgetRule&) const = default;
};

// "never", "after 30 min", "up to 10 MB". `invalid` names what is wrong.
Result<BudgetRule> parse_wan_budget(std::string_view text);
std::string to_text(const BudgetRule& rule);

}  // namespace lamina::format
