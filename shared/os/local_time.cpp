#include "shared/os/local_time.hpp"

#include <ctime>

#include "shared/base/assert.hpp"

namespace lamina::os {

Duration utc_offset(WallTime time) {
  constexpr std::int64_t second = 1'000'000'000;
  const std::int64_t rest = time.ns % second;
  const std::time_t seconds = (time.ns - (rest < 0 ? rest + second : rest)) / second;
  // localtime_r() by itself never looks at the file a second time.
  tzset();
  std::tm local{};
  // Fails for years that do not fit into an int; those of a WallTime do.
  LAMINA_ASSERT(localtime_r(&seconds, &local) != nullptr);
  return std::chrono::seconds{local.tm_gmtoff};
}

}  // namespace lamina::os
