// What the C library does with memory that a process frees.
#pragma once

namespace lamina::os {

// Has what this process frees go back to the system at once where it is 1 MiB or more. The C
// library keeps up to 64 MiB, and what lies between smaller pieces (m: 107 MB of a month's update).
void return_freed_memory();

// Likewise while it lives; then the C library keeps as much as it ever does of its own accord (an
// origin's captures and snapshots take a sixth less of the processor with that). One at a time.
class FreedMemoryReturned {
 public:
  FreedMemoryReturned() { return_freed_memory(); }
  ~FreedMemoryReturned();
  FreedMemoryReturned(const FreedMemoryReturned&) = delete;
  FreedMemoryReturned& operator=(const FreedMemoryReturned&) = delete;
};

}  // namespace lamina::os
