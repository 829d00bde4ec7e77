// `lamina-origin replay`: decides again what a program recorded
// (shared/policy/decision_replay.hpp).
#pragma once

#include <ostream>
#include <string>

#include "shared/base/result.hpp"

namespace lamina::origin {

// Prints how many decisions were alike. `corrupt` names the first line whose decision differs,
// `invalid` the first that is no line of a record; os::open_read()'s kinds. What stands behind the
// last line's end, of a program that was killed while it wrote, is not looked at.
Status run_replay(const std::string& path, bool as_json, std::ostream& out);

}  // namespace lamina::origin
