#include "shared/format/wan_budget.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::format;

TEST_CASE("WAN budget: as people write it", "[format]") {
  CHECK(parse_wan_budget("never").value() == BudgetRule{});
  CHECK(parse_wan_budget("after 30 min").value() == BudgetRule{WanBudget::after, 1800});
  CHECK(parse_wan_budget("up to 10 MB").value() == BudgetRule{WanBudget::up_to, 10'000'000});
  for (const char* text : {"", "always", "after", "after x", "up to", "up to -1 MB", "never "}) {
    INFO(text);
    const auto rule = parse_wan_budget(text);
    REQUIRE_FALSE(rule);
    CHECK(rule.error().kind() == ErrorKind::invalid);
  }
  CHECK(to_text(BudgetRule{WanBudget::after, 30}) == "after 30.0 s");
  CHECK(to_text(BudgetRule{WanBudget::up_to, 10 << 20}) == "up to 10.0 MiB");
}
