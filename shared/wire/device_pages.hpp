// All devices of an origin, page by page: a fleet does not fit into one answer.
//
// Pure but for `get`; one thread.
#pragma once

#include <functional>
#include <string>

#include "shared/wire/admin.hpp"

namespace lamina::wire {

// The body of a GET of the API.
using Get = std::function<Result<std::string>(const std::string& path)>;

// Calls `visit` with each device, in the order of their ids. The failures of `get`; `corrupt`: the
// pages do not follow each other.
Status for_each_device(const Get& get, const std::function<void(DeviceInfo&& device)>& visit);

}  // namespace lamina::wire
