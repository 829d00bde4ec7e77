// The origin's support bundle: settings, certificates' facts, sizes and permissions, what the
// catalogue holds in numbers, the newest of the audit log. No key, no token, no layer, no CVD.
// May run beside `serve`. Any thread.
#pragma once

#include "origin/data_directory.hpp"

namespace lamina::origin {

// `refused` when `path` is there already, `not_found` when `data` is no origin's directory. What
// else cannot be had is in the bundle's problems.txt.
Status write_support_bundle(const DataDirectory& data, const std::string& path, WallTime now);

}  // namespace lamina::origin
