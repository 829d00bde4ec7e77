// Crashes: a story is told once, with the disk's log on; then the disk is made as it may be after a
// kill or a power failure at any point of it, and who opens what is there must find all that was
// acknowledged before that point.
//
// Options of the program: --seeds N (power failures at each point: each keeps by chance another
// part of what was not durable), --seed S (the first of them). Without --seeds a sample is taken.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/disk/disk_log.hpp"

namespace lamina::tests {

struct TortureOptions {
  int seeds = 0;  // 0: a sample, for a few seconds.
  std::uint64_t seed = 0;
};
const TortureOptions& torture_options();

struct Crash {
  std::size_t after = 0;                   // So many operations were done...
  std::optional<std::uint64_t> seed = {};  // ...and then the power failed; none: a kill.
};
std::string to_text(const Crash& crash);

// What is wrong in `directory`, which holds what the crash left; "" when nothing is. `thorough`:
// work goes on there too.
using Examine = std::function<std::string(const std::string& directory, const disk::Image& image,
                                          const Crash& crash, bool thorough)>;

// As the options say: a kill after every operation, and power failures.
std::vector<Crash> crashes_of(const disk::History& history);
// Fails the test for every crash after which something is wrong, with what replays it. `story`
// names what was done, for the line of figures.
void must_survive(const std::string& story, const disk::History& history, const Examine& examine);
// The first crash after which something is wrong, and what: that a planted bug is found.
std::string first_harm(const disk::History& history, const Examine& examine);

}  // namespace lamina::tests
