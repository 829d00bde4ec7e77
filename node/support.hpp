// The device's support bundle: settings, status and metrics of the running node, certificates'
// facts, sizes and permissions. No key, no token, nothing of the volume. Any thread; blocks while
// the node answers.
#pragma once

#include "node/state.hpp"
#include "shared/base/units.hpp"

namespace lamina::node {

// `refused` when `path` is there already, `not_found` when the device is not enrolled. What else
// cannot be had (the node does not run, a directory is root's) is in the bundle's problems.txt.
Status write_support_bundle(const StateDirectory& state, const std::string& path, WallTime now);

}  // namespace lamina::node
