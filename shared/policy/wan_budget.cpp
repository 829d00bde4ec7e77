#include "shared/policy/wan_budget.hpp"

#include <algorithm>

namespace lamina::policy {

std::optional<Instant> may_spend_from(const WanBudget& budget, const WanBudgetNeed& need,
                                      Duration patience) {
  if (!need.is_wanted) return std::nullopt;
  switch (budget.kind) {
    case WanBudget::Kind::never: return std::nullopt;
    case WanBudget::Kind::after: return need.issued + budget.after;
    case WanBudget::Kind::up_to:
      if (need.has_holder || left_of(budget, need.spent) == Bytes{}) return std::nullopt;
      return need.waiting_since + patience;
  }
  return std::nullopt;
}

std::optional<Bytes> left_of(const WanBudget& budget, Bytes spent) {
  switch (budget.kind) {
    case WanBudget::Kind::never: return Bytes{};
    case WanBudget::Kind::after: return std::nullopt;
    case WanBudget::Kind::up_to: return std::max(Bytes{}, budget.most - spent);
  }
  return Bytes{};
}

}  // namespace lamina::policy
