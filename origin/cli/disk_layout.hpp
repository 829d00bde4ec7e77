// What of a snapshot's volume layout this machine lacks. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lamina::origin::cli {

// `fstab`: of the snapshot (fstab(5)). `has`: whether this machine has what a first field names
// ("UUID=...", "LABEL=...", "PARTUUID=...", "PARTLABEL=..." or "/dev/..."). One line for each file
// system or swap area that it has not; others (network, bind mounts, tmpfs) are not looked for.
std::vector<std::string> layout_differences(std::string_view fstab,
                                            const std::function<bool(const std::string&)>& has);

// Where Linux has a link to the disk that a first field of fstab names; "" when it names none.
std::string device_path(std::string_view source);

}  // namespace lamina::origin::cli
