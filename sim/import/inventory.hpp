// What an origin knows of its fleet, as its API says it to administrators. One thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/format/record.hpp"
#include "shared/wire/device_pages.hpp"
#include "shared/wire/rollout.hpp"

namespace lamina::sim {

// Of a device what a scenario needs, and no more: there may be a million of them.
struct KnownDevice {
  DeviceId id;
  std::string site;
  std::string lan_address;
  std::int64_t seen_ms = 0;
  std::vector<std::string> applied;  // "name:version", base first.
};

struct Inventory {
  std::vector<wire::SiteInfo> sites;
  std::vector<KnownDevice> devices;  // Those that have a site; in the order of their ids.
  std::vector<wire::SiteSavings> traffic;
  std::string rules;  // Bandwidth rules as CSV; may be empty.
  // The packs of each layer that is wanted or applied somewhere, by "name:version".
  std::map<std::string, std::vector<format::DistributedPack>> packs;
  std::map<std::string, LayerId> ids;  // Of the same layers.
};

using wire::Get;

// Asks for all that a scenario of `layers` ("name:version") needs. `not_found` names a layer that
// the origin has not; else the failures of `get`, and `invalid` or `corrupt` for answers that
// cannot be read.
Result<Inventory> collect(const Get& get, const std::vector<std::string>& layers);

// The plan of a rollout that was made there. `not_found`: there is none of that name.
Result<wire::RolloutRequest> planned_rollout(const Get& get, const std::string& name);

}  // namespace lamina::sim
