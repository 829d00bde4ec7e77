// What all sites of a run share: the scenario, its devices, and what follows from them alone.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/engine/rates.hpp"
#include "sim/engine/trunk.hpp"
#include "sim/model/fleet.hpp"
#include "sim/model/roaming.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

// When the devices of a wave get the layers: into their caches, and to apply them. kNever: not, as
// far as is known.
struct WaveTimes {
  Instant staged = kNever;
  Instant begun = kNever;
  bool operator==(const WaveTimes&) const = default;
};

// What became of a device's wave.
struct Outcome {
  Instant at;
  std::uint64_t device = 0;  // The run's number.
  std::uint8_t wave = 0;
  bool failed = false;
};

// A device holds all of its wave's content.
struct Held {
  Instant at;
  std::uint64_t device = 0;
};

struct Plan {
  const Scenario& scenario;
  const Fleet& fleet;
  const Roaming& roaming;
  Mode mode = Mode::direct;  // Of the run; the scenario's, or direct to compare with.
  bool with_uploads = true;  // They do not touch what is fetched: left out where only that counts.
  bool bounded = true;       // Sites hang on the origin's and the regions' lines.

  Instant end() const { return Instant(scenario.run.duration); }
  // Content a second, all protocol overhead taken off.
  Rate content(BitRate rate) const;
};

// Wire bytes a second.
Rate bytes_per_second(BitRate rate);
BitRate bit_rate(Rate bytes_per_second);

// The groups of the two networks (network.hpp), and which one a site hangs on. Group 0 stands above
// the origin and the regions' seeders, and has no bound.
struct Groups {
  explicit Groups(const Plan& plan);

  std::vector<TrunkGroup> down, up;  // Lines in content a second; infinite in an unbounded plan.
  std::vector<std::uint32_t> site_down, site_up;
  // Group of: the origin, each region (0: it has no line of its own), each seeder (0: none).
  std::uint32_t origin = 1;
  std::vector<std::uint32_t> region_down, region_up, seeder;
};

}  // namespace lamina::sim
