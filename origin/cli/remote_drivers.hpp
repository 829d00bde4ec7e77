// The driver rules of an origin, to be asked of devices. One thread.
#pragma once

#include "origin/catalog/driver_rules.hpp"

namespace lamina::origin::cli {

struct Session;

// `layers`: all that the origin has.
Result<DriverRules> driver_rules_of(Session& session, const wire::LayerList& layers);

}  // namespace lamina::origin::cli
