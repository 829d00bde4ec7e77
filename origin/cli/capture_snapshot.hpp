// A snapshot of a CVD as a layer: `lamina layer capture --snapshot`. The device is not asked.
#pragma once

#include "origin/cli/capture_layer.hpp"

namespace lamina::origin::cli {

// What `request.snapshot` names, "DEVICE" (its newest) or "DEVICE:SNAPSHOT": the machine's area, by
// the rules that hold for a tree. A layer that is no base holds what differs from `request.over`,
// or if that is empty from the layers that the device had when the snapshot was taken. Chunks that
// layers have already are not moved.
Status capture_snapshot(Session& session, CaptureRequest request);

}  // namespace lamina::origin::cli
