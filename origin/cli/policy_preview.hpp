// What a change of policies does to devices, told from their newest snapshots before it is made.
// Streaming: memory does not grow with the snapshots. One thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/wire/policies.hpp"

namespace lamina::origin::cli {

struct Session;

// Prints, for each device, what the next snapshot would not hold any more, what it would take up
// again, and what becomes the users' or the machine's, with `after` (by device) in the place of the
// policy that each has now. A device that has no snapshot yet is named.
Status preview_policies(Session& session, const std::map<DeviceId, wire::Policy>& after);

}  // namespace lamina::origin::cli
