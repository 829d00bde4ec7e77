// What the C library does with memory that a process frees.
#pragma once

namespace lamina::os {

// Has what this process frees go back to the system at once where it is 1 MiB or more. The C
// library keeps up to 64 MiB, and what lies between smaller pieces (m: 107 MB of a month's update).
void return_freed_memory();

}  // namespace lamina::os
