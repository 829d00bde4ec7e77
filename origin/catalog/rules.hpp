// Rules of the catalogue that need no database: names, versions, which layers fit together.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shared/wire/admin.hpp"

namespace lamina::origin {

// Names of layers, versions, sites and tokens: 1 to 64 of a-z A-Z 0-9 . _ + - ~, the first a
// letter or digit. `invalid` names `what` and the text.
Status check_name(std::string_view what, std::string_view name);

// Runs of digits compare as numbers, everything else by bytes: 1.9 < 1.10 < 1.10a < 2.
// Negative, zero or positive.
int compare_versions(std::string_view a, std::string_view b);

// Whether operations on sites, collections and rollouts mean the device: it is in a site, and no
// reference device.
inline bool is_of_fleet(const wire::DeviceInfo& device) {
  return device.status == wire::DeviceStatus::assigned && !device.reference.value_or(false);
}

// Whether a layer is made for the system of this base: OS family, distribution, major release and
// architecture are the same. `refused` says what is not.
Status check_fits(const wire::LayerInfo& base, const wire::LayerInfo& layer);

// A stack is one base followed by layers of the same OS family, distribution, major release and
// architecture, no name twice. The empty stack is allowed. `refused` says which layer and why.
Status check_stack(std::span<const wire::LayerInfo> stack);

// The stack that a device with `stack` has after a change: without the layers named in `remove`
// (names, or NAME:VERSION), and with those of `add` (NAME:VERSION) in the place of another version,
// or at the end. `not_found` for a layer to remove that the stack does not have.
Result<std::vector<std::string>> changed_stack(std::vector<std::string> stack,
                                               std::span<const std::string> add,
                                               std::span<const std::string> remove);

}  // namespace lamina::origin
