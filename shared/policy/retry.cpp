#include "shared/policy/retry.hpp"

#include <algorithm>

#include "shared/base/assert.hpp"

namespace lamina::policy {

Duration retry_after(const Backoff& backoff, int failures, std::uint64_t random) {
  LAMINA_ASSERT(backoff.first.count() >= 0 && backoff.longest >= backoff.first);
  if (failures <= 0) return Duration{0};

  Duration step = backoff.first;
  for (int i = 1; i < failures && step < backoff.longest; ++i)
    step = step > backoff.longest / 2 ? backoff.longest : step * 2;

  const auto half = static_cast<std::uint64_t>(step.count()) / 2;
  return step - Duration{static_cast<std::int64_t>(random % (half + 1))};
}

}  // namespace lamina::policy
