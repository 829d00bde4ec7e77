// What policies make of a device's paths, by the origin. One thread.
#pragma once

#include <string>

#include "shared/image/protection.hpp"

namespace lamina::origin::cli {

struct Session;

// Of a device (its id in hex), by the policy that counts for it now. An origin that knows no
// policies, or not the device, has the factory rules alone.
Result<image::Protection> protection_of(Session& session, const std::string& device);

}  // namespace lamina::origin::cli
