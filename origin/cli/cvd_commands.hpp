// The commands beneath `lamina cvd` that read what snapshots hold. The command chosen is put into
// `run`, as in session.hpp.
#pragma once

#include <functional>

#include "shared/base/result.hpp"

namespace CLI {
class App;
}

namespace lamina::origin::cli {

struct Session;

void add_cvd_software(CLI::App& cvd, std::function<Status(Session&)>& run);

}  // namespace lamina::origin::cli
