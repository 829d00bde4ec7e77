#include "shared/policy/retry.hpp"

#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

TEST_CASE("retry: the step doubles up to the longest; jitter takes away up to half", "[policy]") {
  constexpr std::uint64_t kLeast = 0;
  struct Row {
    int failures;
    std::uint64_t random;
    Duration wait;
  };
  const Backoff backoff{.first = 1s, .longest = 10s};
  const std::uint64_t half_second = 500'000'000;
  const Row rows[] = {
      {-1, kLeast, 0s},       {0, kLeast, 0s},  {1, kLeast, 1s},         {2, kLeast, 2s},
      {3, kLeast, 4s},        {4, kLeast, 8s},  {5, kLeast, 10s},        {6, kLeast, 10s},
      {1000, kLeast, 10s},    {1, 1, 1s - 1ns}, {1, half_second, 500ms}, {1, half_second + 1, 1s},
      {5, 5'000'000'000, 5s},
  };
  for (const Row& row : rows) {
    CAPTURE(row.failures, row.random);
    CHECK(retry_after(backoff, row.failures, row.random) == row.wait);
  }
}

TEST_CASE("retry: every wait lies between half the step and the step", "[policy]") {
  const Backoff backoff{.first = 3ns,
                        .longest = Duration{std::numeric_limits<std::int64_t>::max()}};
  std::uint64_t random = 1;
  Duration step = 3ns;
  for (int failures = 1; failures < 61; ++failures, step *= 2) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const Duration wait = retry_after(backoff, failures, random);
    CAPTURE(failures, random);
    REQUIRE(wait <= step);
    REQUIRE(wait >= step / 2);
  }
}
