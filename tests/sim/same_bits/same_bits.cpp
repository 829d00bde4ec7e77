// Prints one number for all that the simulator computes here: random trees, and a small fleet's day
// in all modes, alone and together, with one thread and with two. Built with several optimizations
// and compilers; the numbers must be equal.
#include <cstring>
#include <iostream>

#include "sim/engine/random.hpp"
#include "sim/model/run.hpp"
#include "tests/sim/engine/tree_case.hpp"
#include "tests/sim/model/big_scenario.hpp"
#include "tests/sim/model/small_scenario.hpp"

using namespace lamina::sim;
using namespace lamina::sim::testing;

namespace {

std::uint64_t bits_of(double number) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &number, sizeof bits);
  return bits;
}

}  // namespace

int main() {
  std::uint64_t hash = 0;
  const auto add = [&](std::uint64_t bits) { hash = mix(hash ^ bits); };
  for (std::uint64_t number = 1; number <= 300; ++number) {
    const TreeEnds ends = run_engine(random_tree(number));
    for (const std::int64_t ns : ends.ns) add(static_cast<std::uint64_t>(ns));
    for (const double bytes : ends.group_bytes) add(bits_of(bytes));
  }
  std::cout << "trees " << std::hex << hash << '\n';
  Scenario scenario = big_scenario(12);
  for (const Mode mode : kModes) {
    scenario.rollout.mode = mode;
    for (const bool together : {false, true}) {
      // Together, the origin is full too, and laptops roam.
      scenario.presences[2].roaming = together ? 0.2 : 0;
      scenario.origin.uplink = {together ? 40'000'000 : 400'000'000'000};
      std::uint64_t one = 0;
      for (const int threads : {1, 2}) {
        const RunResult result = run(scenario, {.threads = threads, .with_direct = false});
        if (threads == 1) one = hash_of(result);
        if (hash_of(result) != one) {
          std::cout << "differs with " << threads << " threads\n";
          return 1;
        }
      }
      add(one);
      std::cout << name_of(mode) << (together ? " together " : " alone ") << one << '\n';
    }
  }
  std::cout << hash << '\n';
}
