// The device's time zone.
#pragma once

#include "shared/base/units.hpp"

namespace lamina::os {

// How far local time is ahead of UTC at `time`, in whole seconds: by $TZ, else by /etc/localtime,
// which is read anew when it has changed. Any thread, as long as none changes the environment.
Duration utc_offset(WallTime time);

}  // namespace lamina::os
