// Which devices `lamina layer upgrade` moves, and to which stacks. Pure.
#pragma once

#include <string>
#include <vector>

#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

struct Move {
  std::vector<DeviceId> devices;  // With one stack in common.
  std::string from;               // "firefox:1"
  std::vector<std::string>
      layers;           // What they get: the stack with the newest version in its place.
  std::string refused;  // Why they cannot; "" when they can.
};

struct Upgrade {
  std::string to;  // "firefox:3"
  std::vector<Move> moves;
};

// Every device that has an older version of the layer `name` assigned. `not_found` when there is no
// such layer. `layers` is sorted by name and version.
Result<Upgrade> plan_upgrade(const wire::LayerList& layers, const wire::DeviceList& devices,
                             const std::string& name);

}  // namespace lamina::origin::cli
