#include "shared/base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace lamina {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, expression);
  std::abort();
}

}  // namespace lamina
