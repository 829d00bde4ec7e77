// Random numbers by name: the same (seed, entity, purpose, counter) gives the same number, whoever
// asks, in whatever order.
//
// So a device keeps its schedule when another is added, variants of a scenario share their random
// numbers, and threads need no common state. The distributions are our own, and so are the
// logarithm and the exponential below them: those of the standard library and of libm differ
// between libraries and processors in the last bit. Pure functions; any thread.
#pragma once

#include <cstdint>

namespace lamina::sim {

// What a number is for; entities are counted per purpose.
class Random {
 public:
  explicit constexpr Random(std::uint64_t seed) : seed_(seed) {}

  // Uniform in 64 bits.
  std::uint64_t bits(std::uint64_t entity, std::uint32_t purpose, std::uint64_t counter = 0) const;
  // Uniform in [0, 1).
  double uniform(std::uint64_t entity, std::uint32_t purpose, std::uint64_t counter = 0) const;
  // Normal with mean 0 and deviation 1.
  double normal(std::uint64_t entity, std::uint32_t purpose, std::uint64_t counter = 0) const;

 private:
  std::uint64_t seed_;
};

// Mixes 64 bits (splitmix64's finalizer).
std::uint64_t mix(std::uint64_t bits);

// The value below which a standard normal lies with probability `p`, 0 < p < 1. Absolute error
// below 1e-8 (Acklam's rational approximation, and one step of Halley's method is not needed here).
double inverse_normal(double p);

// Natural logarithm of a positive finite number and exponential, to about 1e-15 relative, the same
// in every bit on every machine with IEEE doubles.
double portable_log(double x);
double portable_exp(double x);

}  // namespace lamina::sim
