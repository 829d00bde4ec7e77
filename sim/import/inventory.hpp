// What an origin knows of its fleet, as its API says it to administrators. One thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "shared/format/record.hpp"
#include "shared/wire/admin.hpp"
#include "shared/wire/rollout.hpp"

namespace lamina::sim {

struct Inventory {
  std::vector<wire::SiteInfo> sites;
  std::vector<wire::DeviceInfo> devices;
  std::vector<wire::SiteSavings> traffic;
  std::string rules;  // Bandwidth rules as CSV; may be empty.
  // The packs of each layer that is wanted or applied somewhere, by "name:version".
  std::map<std::string, std::vector<format::DistributedPack>> packs;
};

// The body of a GET of the API.
using Get = std::function<Result<std::string>(const std::string& path)>;

// Asks for all that a scenario of `layers` ("name:version") needs. `not_found` names a layer that
// the origin has not; else the failures of `get`, and `invalid` or `corrupt` for answers that
// cannot be read.
Result<Inventory> collect(const Get& get, const std::vector<std::string>& layers);

// The plan of a rollout that was made there. `not_found`: there is none of that name.
Result<wire::RolloutRequest> planned_rollout(const Get& get, const std::string& name);

}  // namespace lamina::sim
