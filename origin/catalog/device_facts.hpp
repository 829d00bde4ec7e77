// What filters may ask of a device: those of collections and of driver layers. Pure; any thread.
#pragma once

#include <string>

#include "shared/policy/device_filter.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin {

// `invalid` says what is wrong, where, and which facts there are.
Result<policy::DeviceFilter> parse_filter(const std::string& text);

bool matches(const policy::DeviceFilter& filter, const wire::DeviceInfo& device);

}  // namespace lamina::origin
