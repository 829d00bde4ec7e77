// Which system a tree is, read from the tree itself.
#pragma once

#include <functional>
#include <string>

#include "shared/format/record.hpp"
#include "shared/os/beneath.hpp"

namespace lamina::origin::cli {

// The first bytes of a file of the tree, `most` of them if it has so many; "" when there is none.
// Symlinks, absolute ones as well, are followed within the tree.
using ReadStart = std::function<std::string(const std::string& path, std::size_t most)>;

// From etc/os-release (or usr/lib/os-release) and the ELF header of a shell. What cannot be told is
// "" and must be given by hand.
format::Platform platform_of(const ReadStart& read_start);
format::Platform platform_of(const os::Root& tree);

}  // namespace lamina::origin::cli
