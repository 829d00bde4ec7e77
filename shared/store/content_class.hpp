// Which chunks are coded together: content of one kind compresses better in one frame. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "shared/base/bytes.hpp"

namespace lamina {

enum class ContentClass : std::uint8_t {
  machine_code,  // ELF and its parts.
  text,          // Documentation, configuration, lists.
  source,        // Scripts and programs as text.
  data,          // Everything else.
  archive,       // Zip and its kin: their members may be compressed, or stored as they are.
  compressed,    // Already compressed: stored raw.
  metadata,      // Manifests.
};
constexpr std::size_t kContentClasses = 7;

// From the file's name and its first bytes (16 are enough).
ContentClass classify_content(std::string_view path, ByteView first_bytes);

}  // namespace lamina
