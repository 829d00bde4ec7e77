// Which devices an upgrade moves, and to which stacks. Pure.
#pragma once

#include <span>
#include <string>

#include "origin/catalog/driver_rules.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin {

// Every device in a site that has an older version of the layer `name` assigned, by the stacks that
// they have. `not_found` when there is no such layer. `layers` is sorted by name and version. What
// `rules` give is looked at again when a device is assigned its stack, and keeps none from it.
Result<wire::UpgradeReply> plan_upgrade(std::span<const wire::LayerInfo> layers,
                                        std::span<const wire::DeviceInfo> devices,
                                        const std::string& name, const DriverRules& rules);

}  // namespace lamina::origin
