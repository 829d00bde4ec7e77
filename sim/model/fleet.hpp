// The devices of a site, drawn from its mix: the same ones whenever they are asked for.
//
// Nothing is kept of them between uses, so that a million devices cost the memory of the sites that
// are at work. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "sim/engine/random.hpp"
#include "sim/scenario/scenario.hpp"

namespace lamina::sim {

inline constexpr std::uint8_t kNoWave = 0xff;

struct DrawnDevice {
  DeviceId id;                  // Random: the order of a site's devices in waves.
  std::uint64_t need = 0;       // Parts that it has to fetch.
  std::uint32_t presence = 0;   // Of the scenario's.
  std::uint8_t wave = kNoWave;  // That it belongs to.
  bool is_wireless = false;
  bool fails = false;  // To apply.
};

class Fleet {
 public:
  // `scenario` outlives it.
  Fleet(const Scenario& scenario, std::uint64_t seed);

  const Random& random() const { return random_; }
  // The run's number of a site's first device; they count on from there.
  std::uint64_t first_device(Index site) const { return first_[site]; }
  Index site_of(std::uint64_t device) const;  // Where it is at home.
  std::vector<DrawnDevice> site(Index site) const;
  DeviceId id(std::uint64_t device) const;          // By the run's number...
  static std::uint64_t number(const DeviceId& id);  // ... and back.
  // What the site's line rates are multiplied with.
  double line_factor(Index site) const { return factors_[site]; }

 private:
  void join_waves(Index site, std::vector<DrawnDevice>& devices) const;

  const Scenario& scenario_;
  Random random_;
  std::vector<std::uint64_t> first_;
  std::vector<double> factors_;
};

}  // namespace lamina::sim
