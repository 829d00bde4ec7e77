// LAMINA_ASSERT: for invariants of our own code, checked in release builds too. Input, peers, disks
// and clocks never trigger one: what they do wrong is a Result.
#pragma once

namespace lamina {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);
}

#define LAMINA_ASSERT(expression)      \
  ((expression) ? static_cast<void>(0) \
                : ::lamina::assertion_failed(#expression, __FILE__, __LINE__))
