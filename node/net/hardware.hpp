// What the machine is made of, as the kernel tells it.
#pragma once

#include <string>

#include "shared/wire/node.hpp"

namespace lamina::node {

// `sys` is where sysfs is, as in "/sys". What is not there, as in containers and on machines
// without SMBIOS or PCI, is left out; what exceeds the message's bounds too. Serial numbers are not
// read. Blocks for some hundred small reads; any thread.
wire::Hardware read_hardware(const std::string& sys);

}  // namespace lamina::node
