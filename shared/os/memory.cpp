#include "shared/os/memory.hpp"

#include <malloc.h>

namespace lamina::os {

void return_freed_memory() {
  constexpr int kFrom = 1 << 20;
  // What stands in for the C library's malloc to find mistakes knows neither.
  static_cast<void>(::mallopt(M_MMAP_THRESHOLD, kFrom));
  static_cast<void>(::mallopt(M_TRIM_THRESHOLD, kFrom));
}

}  // namespace lamina::os
