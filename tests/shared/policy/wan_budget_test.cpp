#include "shared/policy/wan_budget.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

TEST_CASE("wan budget: a table of needs and of when the line may be used", "[policy]") {
  struct Case {
    const char* name;
    WanBudget budget;
    WanBudgetNeed need;
    std::optional<Duration> from;
  };
  using Kind = WanBudget::Kind;
  const Instant issued{100s}, since{140s};
  const WanBudget up_to{.kind = Kind::up_to, .after = {}, .most = 10_MiB};
  const WanBudget after{.kind = Kind::after, .after = 1h, .most = {}};
  const Case test = GENERATE_COPY(values<Case>({
      {"never", {}, {true, false, issued, since, {}}, std::nullopt},
      {"never, whoever holds", {}, {true, true, issued, since, {}}, std::nullopt},
      {"after an hour, counted from the target",
       after,
       {true, false, issued, since, {}},
       1h + 100s},
      {"after an hour, also beside a holder that does not get on",
       after,
       {true, true, issued, since, 1_GiB},
       1h + 100s},
      {"after an hour, with nothing to fetch",
       after,
       {false, false, issued, since, {}},
       std::nullopt},
      {"up to 10 MiB, once nobody has come for a while",
       up_to,
       {true, false, issued, since, {}},
       150s},
      {"up to 10 MiB, with a byte left",
       up_to,
       {true, false, issued, since, 10_MiB - Bytes{1}},
       150s},
      {"up to 10 MiB, used up", up_to, {true, false, issued, since, 10_MiB}, std::nullopt},
      {"up to 10 MiB, exceeded by what was under way",
       up_to,
       {true, false, issued, since, 11_MiB},
       std::nullopt},
      {"up to 10 MiB, while another device fetches",
       up_to,
       {true, true, issued, since, {}},
       std::nullopt},
      {"up to 10 MiB, with nothing to fetch",
       up_to,
       {false, false, issued, since, {}},
       std::nullopt},
  }));
  INFO(test.name);
  const auto from = may_spend_from(test.budget, test.need, 10s);
  REQUIRE(from.has_value() == test.from.has_value());
  if (from) CHECK(*from == Instant{*test.from});
}

TEST_CASE("wan budget: what is left of it", "[policy]") {
  using Kind = WanBudget::Kind;
  CHECK(left_of({}, {}) == Bytes{});
  CHECK(left_of({.kind = Kind::after, .after = 1h, .most = {}}, 5_GiB) == std::nullopt);
  const WanBudget up_to{.kind = Kind::up_to, .after = {}, .most = 10_MiB};
  CHECK(left_of(up_to, {}) == 10_MiB);
  CHECK(left_of(up_to, 4_MiB) == 6_MiB);
  CHECK(left_of(up_to, 11_MiB) == Bytes{});
}
