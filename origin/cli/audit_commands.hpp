// `lamina audit` and what is beneath it. The command chosen is put into `run`, as in session.hpp.
#pragma once

#include <functional>

#include "shared/base/result.hpp"

namespace CLI {
class App;
}

namespace lamina::origin::cli {

struct Session;

void add_audit(CLI::App& app, std::function<Status(Session&)>& run);

}  // namespace lamina::origin::cli
