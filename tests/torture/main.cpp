// `torture_test [--seeds N] [--seed S] [CATCH2 ARGUMENTS]`: see torture.hpp.
#define CATCH_CONFIG_RUNNER
#include "tests/torture/torture.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <iostream>

#include "tests/support/scratch.hpp"

namespace lamina::tests {
namespace {

TortureOptions options;
std::size_t kills = 0;
std::size_t power_failures = 0;

// Of a sample: so many crashes of a story.
constexpr std::size_t kSample = 200;

std::string examined(const disk::History& history, const Crash& crash, const Examine& examine,
                     bool thorough) {
  const Scratch scratch;
  const NoWaiting no_waiting;
  const disk::Image image = crash.seed ? history.power_failed_after(crash.after, *crash.seed)
                                       : history.killed_after(crash.after);
  const std::string directory = scratch / "disk";
  history.write_out(image, directory);
  return examine(directory, image, crash, thorough);
}

}  // namespace

const TortureOptions& torture_options() { return options; }

std::string to_text(const Crash& crash) {
  const std::string point = " after operation " + std::to_string(crash.after);
  if (!crash.seed) return "a kill" + point;
  return "a power failure" + point + ", seed " + std::to_string(*crash.seed);
}

std::vector<Crash> crashes_of(const disk::History& history) {
  std::vector<Crash> all;
  const std::size_t seeds = options.seeds > 0 ? static_cast<std::size_t>(options.seeds) : 3;
  for (std::size_t after = 0; after <= history.operations.size(); ++after) {
    all.push_back({.after = after});
    for (std::size_t i = 0; i < seeds; ++i) all.push_back({after, options.seed + i});
  }
  if (options.seeds > 0 || all.size() <= kSample) return all;
  std::vector<Crash> some;
  for (std::size_t i = 0; i < kSample; ++i) some.push_back(all[i * all.size() / kSample]);
  return some;
}

void must_survive(const std::string& story, const disk::History& history, const Examine& examine) {
  std::size_t killed = 0;
  const auto crashes = crashes_of(history);
  for (std::size_t i = 0; i < crashes.size(); ++i) {
    const Crash& crash = crashes[i];
    killed += crash.seed ? 0 : 1;
    const std::string harm = examined(history, crash, examine, i % 16 == 0);
    if (harm.empty()) continue;
    std::string last;
    for (std::size_t at = crash.after - std::min<std::size_t>(crash.after, 12); at < crash.after;
         ++at)
      last += "\n  " + std::to_string(at) + ' ' + disk::to_text(history.operations[at]);
    FAIL_CHECK(story << ": " << to_text(crash) << ":\n"
                     << harm << "\nThe last operations:" << last);
  }
  kills += killed;
  power_failures += crashes.size() - killed;
  std::cout << story << ": " << history.operations.size() << " operations, " << killed << " kills, "
            << crashes.size() - killed << " power failures" << std::endl;
}

std::string first_harm(const disk::History& history, const Examine& examine) {
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (std::size_t after = 1; after <= history.operations.size(); ++after) {
      // Harm shows where a sync has said that all is well.
      const disk::Operation& last = history.operations[after - 1];
      using Kind = disk::Operation::Kind;
      if (last.kind != Kind::sync && last.kind != Kind::nothing && !last.is_through) continue;
      const Crash crash{after, seed};
      const std::string harm = examined(history, crash, examine, false);
      if (!harm.empty()) return to_text(crash) + ": " + harm;
    }
  return "";
}

}  // namespace lamina::tests

int main(int argc, char** argv) {
  using namespace lamina::tests;
  Catch::Session session;
  using Catch::clara::Opt;
  session.cli(session.cli() |
              Opt(options.seeds, "N")["--seeds"]("power failures at each point; 0: a sample") |
              Opt(options.seed, "S")["--seed"]("the first of their seeds"));
  if (const int code = session.applyCommandLine(argc, argv); code != 0) return code;
  const int failed = session.run();
  std::cout << kills << " kills and " << power_failures << " power failures in all" << std::endl;
  return failed == 0 ? 0 : 1;
}
