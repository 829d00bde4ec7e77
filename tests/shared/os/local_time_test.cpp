#include "shared/os/local_time.hpp"

#include <stdlib.h>

#include <catch2/catch.hpp>

using namespace lamina;
using namespace std::chrono_literals;

namespace {

// The time zone of one test.
struct Zone {
  explicit Zone(const std::string& name) { setenv("TZ", name.c_str(), 1); }
  ~Zone() { unsetenv("TZ"); }
};

constexpr std::int64_t kSecond = 1'000'000'000;

}  // namespace

TEST_CASE("local time: ahead of UTC in the east, behind it in the west", "[os]") {
  const WallTime time{1'794'787'200 * kSecond};
  {
    const Zone zone("NPT-5:45");
    CHECK(os::utc_offset(time) == 5h + 45min);
  }
  const Zone zone("PST8");
  CHECK(os::utc_offset(time) == -8h);
  CHECK(os::utc_offset(WallTime{-1}) == -8h);
}

TEST_CASE("local time: summer time begins and ends to the second", "[os]") {
  // Central Europe, by its rule: from the last Sunday of March to that of October, 01:00 UTC.
  const Zone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  const std::int64_t begins = 1'774'746'000, ends = 1'792'890'000;
  CHECK(os::utc_offset(WallTime{begins * kSecond - 1}) == 1h);
  CHECK(os::utc_offset(WallTime{begins * kSecond}) == 2h);
  CHECK(os::utc_offset(WallTime{ends * kSecond - 1}) == 2h);
  CHECK(os::utc_offset(WallTime{ends * kSecond}) == 1h);
}
