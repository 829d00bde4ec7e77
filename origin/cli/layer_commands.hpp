// The commands beneath `lamina layer` that make and move versions. Each adds its verb to `layer`,
// or to `layer capture`; the command chosen is put into `run`, as in session.hpp.
#pragma once

#include <functional>

#include "shared/base/result.hpp"

namespace CLI {
class App;
}

namespace lamina::origin::cli {

struct Session;

void add_capture_difference(CLI::App& capture, std::function<Status(Session&)>& run);
void add_layer_compare(CLI::App& layer, std::function<Status(Session&)>& run);
void add_layer_import(CLI::App& layer, std::function<Status(Session&)>& run);
void add_layer_upgrade(CLI::App& layer, std::function<Status(Session&)>& run);

}  // namespace lamina::origin::cli
