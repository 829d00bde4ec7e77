// Placing: keeps the registry in step with the networks that devices are in.
//
// The decision is policy::place(); this shell asks it at every poll, and writes what came of it
// into the catalogue, where it is audited. A device that waits keeps its site in the registry (an
// administrator may still assign layers to it) and is treated as if it were in none.
//
// Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "origin/catalog/catalog.hpp"
#include "shared/policy/site_placement.hpp"

namespace lamina::origin {

class Placing {
 public:
  // `catalog` outlives this.
  explicit Placing(Catalog& catalog) : catalog_(catalog) {}

  // The networks of a site were changed, or a site was made.
  void sites_changed() { networks_.reset(); }

  // The device as it stands after a poll that came from `public_address` and says `lan_address`;
  // either may be empty: not known. Fails with the catalogue's errors.
  Result<wire::DeviceInfo> judge(wire::DeviceInfo device, std::string_view public_address,
                                 std::string_view lan_address, WallTime now);

 private:
  Catalog& catalog_;
  std::optional<std::vector<policy::SiteNetworks>> networks_;
};

// What the device may do: one that waits for a site does what a pending one does.
inline wire::DeviceStatus standing_of(const wire::DeviceInfo& device) {
  return device.waiting && device.status == wire::DeviceStatus::assigned
             ? wire::DeviceStatus::pending
             : device.status;
}

}  // namespace lamina::origin
