// Which system a tree is, read from the tree itself.
#pragma once

#include "shared/format/record.hpp"
#include "shared/os/beneath.hpp"

namespace lamina::origin::cli {

// From etc/os-release (or usr/lib/os-release) and the ELF header of a shell. What cannot be told is
// "" and must be given by hand.
format::Platform platform_of(const os::Root& tree);

}  // namespace lamina::origin::cli
