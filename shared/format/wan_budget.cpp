#include "shared/format/wan_budget.hpp"

namespace lamina::format {
namespace {

constexpr std::string_view kAfter = "after ";
constexpr std::string_view kUpTo = "up to ";

}  // namespace

Result<BudgetRule> parse_wan_budget(std::string_view text) {
  if (text == "never") return BudgetRule{};
  if (text.starts_with(kAfter)) {
    auto time = parse_duration(text.substr(kAfter.size()));
    if (!time) return fail(std::move(time.error()).in("WAN budget"));
    return BudgetRule{WanBudget::after,
                      static_cast<std::uint64_t>(
                          std::chrono::duration_cast<std::chrono::seconds>(*time).count())};
  }
  if (text.starts_with(kUpTo)) {
    auto bytes = parse_bytes(text.substr(kUpTo.size()));
    if (!bytes) return fail(std::move(bytes.error()).in("WAN budget"));
    return BudgetRule{WanBudget::up_to, static_cast<std::uint64_t>(bytes->count)};
  }
  return fail(ErrorKind::invalid, "a WAN budget is 'never', 'after TIME' or 'up to BYTES', not '" +
                                      printable(text, 80) + "'");
}

std::string to_text(const BudgetRule& rule) {
  switch (rule.kind) {
    case WanBudget::never: return "never";
    case WanBudget::after:
      return std::string(kAfter) + lamina::to_text(Duration(std::chrono::seconds(rule.value)));
    case WanBudget::up_to:
      return std::string(kUpTo) + lamina::to_text(Bytes{static_cast<std::int64_t>(rule.value)});
  }
  return "never";
}

}  // namespace lamina::format
