#include "shared/policy/shut_out.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace std::chrono_literals;

TEST_CASE("shut out: longer each time, and up to a bound", "[shut_out]") {
  policy::ShutOut shut_out({.first = 10min, .most = 35min});
  const auto at = [](Duration time) { return Instant{} + time; };
  CHECK_FALSE(shut_out.is_out("a", at(0s)));
  CHECK(shut_out.caught("a", at(0s)) == 10min);
  CHECK_FALSE(shut_out.caught("a", at(1min)));
  CHECK(shut_out.is_out("a", at(10min - 1ns)));
  CHECK_FALSE(shut_out.is_out("a", at(10min)));
  CHECK_FALSE(shut_out.is_out("b", at(1min)));
  CHECK(shut_out.caught("a", at(20min)) == 20min);
  CHECK(shut_out.is_out("a", at(39min)));
  CHECK(shut_out.caught("a", at(40min)) == 35min);
  CHECK(shut_out.is_out("a", at(74min)));
  CHECK_FALSE(shut_out.is_out("a", at(75min)));
}
