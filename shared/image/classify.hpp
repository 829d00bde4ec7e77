// Where an entry of a device comes from: one of its layers, its machine, or its user. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "shared/image/protection.hpp"

namespace lamina::image {

enum class Origin { base, app, machine, user };

struct Attribution {
  Origin origin = Origin::machine;
  std::size_t app = 0;  // Of `app`: 1 for the first app layer of the stack, ...
  bool operator==(const Attribution&) const = default;
};

// `layer` is the layer of the applied stack (0: the base) whose version of the path the device has;
// none when no layer has it, or the device has another version. `protection`: the device's.
Attribution classify(const Protection& protection, std::string_view path, bool is_directory,
                     std::optional<std::size_t> layer);

}  // namespace lamina::image
