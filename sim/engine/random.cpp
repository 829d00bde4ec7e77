#include "sim/engine/random.hpp"

#include <cmath>
#include <limits>

#include "shared/base/assert.hpp"

namespace lamina::sim {
namespace {

constexpr double kLn2High = 0x1.62e42fefa0000p-1;  // ln 2 in 33 bits, and the rest of it.
constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;

}  // namespace

std::uint64_t mix(std::uint64_t bits) {
  bits += 0x9e3779b97f4a7c15u;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

std::uint64_t Random::bits(std::uint64_t entity, std::uint32_t purpose,
                           std::uint64_t counter) const {
  return mix(mix(mix(seed_ ^ (std::uint64_t{purpose} << 40)) ^ entity) ^ counter);
}

double Random::uniform(std::uint64_t entity, std::uint32_t purpose, std::uint64_t counter) const {
  return static_cast<double>(bits(entity, purpose, counter) >> 11) * 0x1p-53;
}

double Random::normal(std::uint64_t entity, std::uint32_t purpose, std::uint64_t counter) const {
  // The middle of one of 2^53 equal parts: never 0 or 1.
  return inverse_normal((static_cast<double>(bits(entity, purpose, counter) >> 11) + 0.5) *
                        0x1p-53);
}

double inverse_normal(double p) {
  LAMINA_ASSERT(p > 0 && p < 1);
  // P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution function".
  constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                          1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                          6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                          -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                          3.754408661907416e+00};
  constexpr double kTail = 0.02425;
  const auto tail = [&](double q) {
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  };
  if (p < kTail) return tail(std::sqrt(-2 * portable_log(p)));
  if (p > 1 - kTail) return -tail(std::sqrt(-2 * portable_log(1 - p)));
  const double q = p - 0.5;
  const double r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

double portable_log(double x) {
  LAMINA_ASSERT(x > 0 && x <= std::numeric_limits<double>::max());
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // Exact.
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  // log m = 2 atanh s, |s| < 0.172: s^25 / 25 is below the last bit.
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double sum = 0;
  for (int k = 25; k >= 3; k -= 2) sum = (sum + 1.0 / k) * s2;
  return exponent * kLn2High + (2 * s * (sum + 1) + exponent * kLn2Low);
}

double portable_exp(double x) {
  LAMINA_ASSERT(x > -700 && x < 700);
  const double n = std::floor(x / (kLn2High + kLn2Low) + 0.5);
  const double r = (x - n * kLn2High) - n * kLn2Low;  // |r| < 0.35.
  double sum = 1;
  for (int k = 18; k >= 1; --k) sum = 1 + sum * r / k;
  return std::ldexp(sum, static_cast<int>(n));
}

}  // namespace lamina::sim
