// Comparing secrets. Pure; any thread.
#pragma once

#include "shared/base/bytes.hpp"

namespace lamina {

// Takes as long for different bytes as for equal ones, so that timing tells nothing; the lengths
// are no secret.
bool equal_in_constant_time(ByteView a, ByteView b);

}  // namespace lamina
