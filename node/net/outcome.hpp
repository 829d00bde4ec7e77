// Outcome: what has become of one operation of the device, as a report tells it. Plain value.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::node {

struct Outcome {
  std::string operation;  // "apply", "snapshot", ...
  std::int64_t started_ms = 0;
  std::optional<Error> error;   // None: it succeeded.
  std::vector<LayerId> layers;  // That it was about.
  std::map<std::string, std::int64_t> counts = {};
  std::map<std::string, std::int64_t> bytes_by_source = {};
};

}  // namespace lamina::node
