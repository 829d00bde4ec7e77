#include "sim/engine/random.hpp"

#include <catch2/catch.hpp>
#include <cmath>

using namespace lamina::sim;

TEST_CASE("random numbers: named, not drawn in turn") {
  const Random random(7);
  CHECK(random.bits(1, 2, 3) == random.bits(1, 2, 3));
  CHECK(random.bits(1, 2, 3) != random.bits(2, 1, 3));
  CHECK(random.bits(1, 2, 3) != random.bits(1, 3, 2));
  CHECK(random.bits(1, 2, 3) != Random(8).bits(1, 2, 3));
}

TEST_CASE("random numbers: the moments of what is drawn") {
  const Random random(1);
  double uniform = 0, normal = 0, square = 0;
  constexpr int kDrawn = 200'000;
  for (int i = 0; i < kDrawn; ++i) {
    uniform += random.uniform(static_cast<std::uint64_t>(i), 1) / kDrawn;
    const double x = random.normal(static_cast<std::uint64_t>(i), 2);
    normal += x / kDrawn;
    square += x * x / kDrawn;
  }
  CHECK(uniform == Approx(0.5).margin(0.003));
  CHECK(normal == Approx(0).margin(0.01));
  CHECK(square == Approx(1).margin(0.02));
}

TEST_CASE("random numbers: the inverse of the normal distribution") {
  CHECK(inverse_normal(0.5) == 0);
  CHECK(inverse_normal(0.975) == Approx(1.959963985).epsilon(1e-8));
  CHECK(inverse_normal(0.001) == Approx(-3.090232306).epsilon(1e-8));
}

TEST_CASE("random numbers: logarithm and exponential are those of the library to its last bits") {
  for (double x = 1e-9; x < 1e12; x *= 1.37) {
    CHECK(portable_log(x) == Approx(std::log(x)).epsilon(1e-14).margin(1e-15));
    CHECK(portable_exp(portable_log(x)) == Approx(x).epsilon(1e-14));
  }
}
