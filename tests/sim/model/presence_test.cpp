#include "sim/model/presence.hpp"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>

using namespace lamina;
using namespace lamina::sim;
using namespace std::chrono_literals;

namespace {

constexpr Instant kEnd{Duration(14 * 24h)};

// All times at which it changes, by asking as the model does.
std::vector<std::pair<double, bool>> changes(const Presence& presence, std::uint64_t device,
                                             std::int64_t start_ns = 0,
                                             PresenceOf::Where where = {}) {
  const Random random(3);
  const PresenceOf of(presence, random, device, start_ns, where);
  std::vector<std::pair<double, bool>> found;
  for (Instant now{}; now <= kEnd;) {
    const PresenceOf::Now state = of.at(now, kEnd);
    if (found.empty() || found.back().second != state.up)
      found.emplace_back(static_cast<double>(now.time_since_epoch().count()) / 3.6e12, state.up);
    REQUIRE(state.until > now);
    if (state.until == Instant::max()) break;
    now = state.until;
  }
  return found;
}

}  // namespace

TEST_CASE("presence: without windows a device is always up") {
  CHECK(changes({}, 1) == std::vector<std::pair<double, bool>>{{0, true}});
}

TEST_CASE("presence: office hours on weekdays, from the week's own start") {
  const Presence office{.windows = {{.days = 0x1f, .start = 480, .end = 1020}}};
  const auto found = changes(office, 1);
  REQUIRE(found.size() == 21);
  CHECK(found[0] == std::pair(0.0, false));
  CHECK(found[1] == std::pair(8.0, true));
  CHECK(found[2] == std::pair(17.0, false));
  CHECK(found[9] == std::pair(4 * 24 + 8.0, true));
  CHECK(found[11] == std::pair(7 * 24 + 8.0, true));
  // A run that starts on Saturday noon.
  const auto late = changes(office, 1, Duration(5 * 24h + 12h).count());
  CHECK(late[1] == std::pair(36.0 + 8.0, true));
}

TEST_CASE("presence: a window over midnight, and windows that follow each other, are one stay") {
  const Presence night{.windows = {{.start = 1320, .end = 360}}};
  const auto found = changes(night, 1);
  CHECK(found[0] == std::pair(0.0, true));
  CHECK(found[1] == std::pair(6.0, false));
  CHECK(found[2] == std::pair(22.0, true));
  const Presence twice{.windows = {{.start = 480, .end = 720}, {.start = 720, .end = 960}}};
  const auto joined = changes(twice, 1);
  CHECK(joined[1] == std::pair(8.0, true));
  CHECK(joined[2] == std::pair(16.0, false));
}

TEST_CASE("presence: edges move within the spread, from device to device and day to day") {
  const Presence office{.windows = {{.start = 480, .end = 1020}}, .spread = 30min};
  const auto one = changes(office, 1), two = changes(office, 2);
  CHECK(one[1].first != two[1].first);
  CHECK(one[1].first + 24 != one[3].first);
  for (std::size_t day = 0; day < 10; ++day) {
    CHECK(std::abs(one[1 + 2 * day].first - (8 + 24.0 * static_cast<double>(day))) <= 0.5);
    CHECK(std::abs(one[2 + 2 * day].first - (17 + 24.0 * static_cast<double>(day))) <= 0.5);
  }
  CHECK(changes(office, 1) == one);
}

TEST_CASE("presence: a share of the days away, and a restart in each period") {
  const Presence often{.windows = {{.start = 480, .end = 1020}}, .absent = 0.25};
  double days = 0;
  for (std::uint64_t device = 0; device < 400; ++device)
    days += static_cast<double>(changes(often, device).size() / 2);
  CHECK(days / (400 * 14) == Approx(0.75).margin(0.02));
  const Presence reboots{.reboot_every = 24h, .reboot_takes = 10min};
  const auto found = changes(reboots, 5);
  CHECK(found.size() == 29);
  CHECK((found[2].first - found[1].first) * 60 == Approx(10));
}

TEST_CASE("presence: who roams is at another site at its usual times, evenly at all of them") {
  const Presence laptop{.windows = {{.start = 480, .end = 1020}}, .absent = 0.1, .roaming = 0.4};
  constexpr Index kSites = 4, kHome = 1;
  std::array<double, kSites> days{};
  for (std::uint64_t device = 0; device < 400; ++device) {
    std::vector<std::pair<double, bool>> anywhere;
    for (Index at = 0; at < kSites; ++at)
      for (const auto& [hour, up] : changes(laptop, device, 0, {kSites, kHome, at})) {
        if (!up) continue;
        days[at] += 1;
        anywhere.emplace_back(hour, up);
      }
    // Never at two sites on one day, and in the morning wherever it is.
    std::ranges::sort(anywhere);
    CHECK(std::ranges::adjacent_find(anywhere) == anywhere.end());
    for (const auto& [hour, up] : anywhere) CHECK(std::fmod(hour, 24) == Approx(8));
  }
  CHECK(days[kHome] / (400 * 14) == Approx(0.5).margin(0.02));
  for (const Index at : {0, 2, 3}) CHECK(days[at] / (400 * 14) == Approx(0.4 / 3).margin(0.02));
}

TEST_CASE("presence: with one site alone, who roams is away") {
  const Presence nomad{.roaming = 1};
  CHECK(changes(nomad, 1).size() == 1);
  CHECK_FALSE(changes(nomad, 1)[0].second);
  // Up all the time is a break of no length at midnight: from one site to the other.
  CHECK(changes(nomad, 1, 0, {2, 0, 1}).size() == 1);
  CHECK(changes(nomad, 1, 0, {2, 0, 1})[0].second);
}
