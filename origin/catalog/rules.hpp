// Rules of the catalogue that need no database: names, versions, which layers fit together.
#pragma once

#include <span>
#include <string_view>

#include "shared/wire/admin.hpp"

namespace lamina::origin {

// Names of layers, versions, sites and tokens: 1 to 64 of a-z A-Z 0-9 . _ + - ~, the first a
// letter or digit. `invalid` names `what` and the text.
Status check_name(std::string_view what, std::string_view name);

// Runs of digits compare as numbers, everything else by bytes: 1.9 < 1.10 < 1.10a < 2.
// Negative, zero or positive.
int compare_versions(std::string_view a, std::string_view b);

// A stack is one base followed by layers of the same OS family, distribution, major release and
// architecture, no name twice. The empty stack is allowed. `refused` says which layer and why.
Status check_stack(std::span<const wire::LayerInfo> stack);

}  // namespace lamina::origin
