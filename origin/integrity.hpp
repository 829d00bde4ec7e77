// Whether all that the snapshots of one CVD need is at the origin.
#pragma once

#include <functional>

#include "origin/catalog/catalog.hpp"
#include "origin/content/content.hpp"

namespace lamina::origin {

// (slow) Reads the record and the manifest of every snapshot, and looks for every chunk in the
// index; `read_data`: reads every chunk, once, and compares it with its id. What is wrong is a
// finding. `not_found` when there is no such device.
Result<wire::IntegrityReport> check_cvd(Content& content, const Catalog& catalog,
                                        const DeviceId& device, bool read_data,
                                        const std::function<bool()>& is_stopping);

}  // namespace lamina::origin
