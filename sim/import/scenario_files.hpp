// A scenario of a rollout or an assignment, from what an origin knows.
//
// Devices are counted by site and by what they have to fetch: packs that are lacked by the same
// kinds of devices are one part, so a site's line carries each pack once, as it does with real
// devices. Lines have the rates that were measured. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "shared/base/units.hpp"
#include "sim/import/inventory.hpp"

namespace lamina::sim {

// What no origin knows, and the time.
struct ImportOptions {
  WallTime now;           // When the origin was asked.
  WallTime start;         // Of the run; it counts in whole minutes, cut off.
  Duration utc_offset{};  // Of times of the day; whole minutes.
  Duration duration = std::chrono::hours{7 * 24};
  BitRate line{20'000'000};       // Of sites whose line's rate was not measured.
  BitRate uplink{1'000'000'000};  // Of the origin.
  // Devices that the origin has not heard of for longer are left out.
  Duration silent_after = std::chrono::hours{7 * 24};
};

// In a rollout's `sites_at_once`: no bound, as for an assignment.
inline constexpr int kAllAtOnce = 0;

// An assignment as a rollout of one wave. `invalid`: it names neither a site nor a device.
Result<wire::RolloutRequest> rollout_of(const wire::AssignmentRequest& assignment);

// The names that the waves have in a scenario: the plan's own, as far as they can be written, each
// once.
std::vector<std::string> wave_names(const wire::RolloutRequest& plan);

struct ScenarioFiles {
  std::string scenario;   // scenario.toml
  std::string sites;      // sites.csv
  std::string devices;    // devices.csv
  std::string bandwidth;  // bandwidth.csv; empty: there are no rules.
};

// `inventory` has the packs of the plan's layers. `invalid` when nobody is in the waves, or nobody
// there lacks anything.
Result<ScenarioFiles> scenario_files(const Inventory& inventory, const wire::RolloutRequest& plan,
                                     const ImportOptions& options);

}  // namespace lamina::sim
