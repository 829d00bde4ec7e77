#include "shared/os/clock.hpp"

#include <ctime>

#include "shared/base/assert.hpp"

namespace lamina::os {
namespace {

std::int64_t read(clockid_t id) {
  timespec value{};
  LAMINA_ASSERT(clock_gettime(id, &value) == 0);
  return std::int64_t{value.tv_sec} * 1000000000 + value.tv_nsec;
}

class SystemClock : public Clock {
 public:
  Instant now() const override { return Instant(Duration(read(CLOCK_BOOTTIME))); }
  WallTime wall() const override { return {read(CLOCK_REALTIME)}; }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace lamina::os
