#include "shared/os/memory.hpp"

#include <malloc.h>

namespace lamina::os {

void return_freed_memory() {
  constexpr int kFrom = 1 << 20;
  // What stands in for the C library's malloc to find mistakes knows neither.
  static_cast<void>(::mallopt(M_MMAP_THRESHOLD, kFrom));
  static_cast<void>(::mallopt(M_TRIM_THRESHOLD, kFrom));
}

FreedMemoryReturned::~FreedMemoryReturned() {
  // What the library's own rules for both end at (mallopt(3)).
  constexpr int kMappedFrom = 32 << 20;
  static_cast<void>(::mallopt(M_MMAP_THRESHOLD, kMappedFrom));
  static_cast<void>(::mallopt(M_TRIM_THRESHOLD, 2 * kMappedFrom));
  static_cast<void>(::malloc_trim(0));
}

}  // namespace lamina::os
