#include "shared/policy/upload_slots.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

DeviceId device(int n) {
  std::array<std::byte, 16> bytes{};
  bytes[15] = static_cast<std::byte>(n);
  return DeviceId(bytes);
}
const DeviceId ann = device(1), bob = device(2), cem = device(3), dan = device(4);

using Actions = std::vector<UploadSlots::Action>;
using Grant = UploadSlots::Grant;
using Revoke = UploadSlots::Revoke;

struct Bench {
  UploadSlots slots;
  explicit Bench(std::size_t count) : slots({.slots = count, .stall_after = 10s, .turn = 30s}) {}

  static Instant at(Duration t) { return Instant{t}; }
  Actions asks(Duration t, DeviceId who) { return slots.on(UploadSlots::Asked{who}, at(t)); }
  Actions takes(Duration t, DeviceId who) { return slots.on(UploadSlots::Sent{who}, at(t)); }
  Actions leaves(Duration t, DeviceId who) { return slots.on(UploadSlots::Left{who}, at(t)); }
  Actions passes(Duration t) { return slots.on(UploadSlots::Tick{}, at(t)); }
};

}  // namespace

TEST_CASE("upload slots: those who ask are served while there are slots", "[policy]") {
  Bench bench(2);
  CHECK(bench.asks(0s, bob) == Actions{Grant{bob}});
  CHECK(bench.asks(0s, ann) == Actions{Grant{ann}});
  CHECK(bench.asks(0s, cem).empty());
  CHECK(bench.slots.is_served(ann));
  CHECK_FALSE(bench.slots.is_served(cem));
  CHECK(bench.asks(1s, ann).empty());
  CHECK(bench.asks(1s, cem).empty());
  CHECK(bench.slots.waiting() == 1);
}

TEST_CASE("upload slots: who waited longest is next", "[policy]") {
  Bench bench(1);
  bench.asks(0s, ann);
  bench.asks(1s, dan);
  bench.asks(2s, bob);
  CHECK(bench.leaves(3s, ann) == Actions{Grant{dan}});
  CHECK(bench.leaves(4s, dan) == Actions{Grant{bob}});
  CHECK(bench.leaves(5s, bob).empty());
  CHECK(bench.leaves(6s, bob).empty());
}

TEST_CASE("upload slots: one that leaves the queue is not served later", "[policy]") {
  Bench bench(1);
  bench.asks(0s, ann);
  bench.asks(0s, bob);
  bench.asks(0s, cem);
  CHECK(bench.leaves(1s, bob).empty());
  CHECK(bench.leaves(2s, ann) == Actions{Grant{cem}});
}

TEST_CASE("upload slots: a stalled device loses its slot only if another waits", "[policy]") {
  Bench bench(1);
  bench.asks(0s, ann);
  CHECK(bench.passes(500s).empty());
  CHECK_FALSE(bench.slots.next_change());
  CHECK(bench.asks(501s, bob) == Actions{Revoke{ann}, Grant{bob}});
  bench.takes(505s, bob);
  CHECK(bench.slots.next_change() == Bench::at(515s));
  CHECK(bench.passes(515s - 1ns).empty());
  CHECK(bench.passes(515s) == Actions{Revoke{bob}, Grant{ann}});
}

TEST_CASE("upload slots: a busy device gives way after its turn", "[policy]") {
  Bench bench(1);
  bench.asks(0s, ann);
  bench.asks(0s, bob);
  for (Duration t = 5s; t < 30s; t += 5s) CHECK(bench.takes(t, ann).empty());
  CHECK(bench.takes(30s, ann) == Actions{Revoke{ann}, Grant{bob}});
  // A block that was on its way changes nothing.
  CHECK(bench.takes(31s, ann).empty());
  CHECK(bench.slots.is_served(bob));
}

TEST_CASE("upload slots: no more slots change hands than devices wait", "[policy]") {
  Bench bench(3);
  bench.asks(0s, ann);
  bench.asks(0s, bob);
  bench.asks(0s, cem);
  CHECK(bench.asks(100s, dan) == Actions{Revoke{ann}, Grant{dan}});
  CHECK(bench.slots.is_served(bob));
  CHECK(bench.slots.is_served(cem));
}

TEST_CASE("upload slots: everybody is served, in bounds, the same way each time", "[policy]") {
  const auto run = [](std::uint64_t seed) {
    std::uint64_t random = seed;
    const auto next = [&random](std::uint64_t below) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      return (random >> 33) % below;
    };
    const std::size_t most = 1 + next(4);
    UploadSlots slots({.slots = most, .stall_after = 10s, .turn = 30s});
    std::map<DeviceId, Instant> waits;  // Since when, for those that asked and are not served.
    std::set<DeviceId> served;
    Actions trace;
    Instant now{};
    for (int i = 0; i < 4000; ++i) {
      now += std::chrono::milliseconds(next(2000));
      const DeviceId who = device(static_cast<int>(next(12)));
      UploadSlots::Event event = UploadSlots::Tick{};
      switch (next(8)) {
        case 0:
        case 1:
        case 2:
          event = UploadSlots::Asked{who};
          if (!served.contains(who)) waits.try_emplace(who, now);
          break;
        case 3:
          event = UploadSlots::Left{who};
          waits.erase(who), served.erase(who);
          break;
        case 4:
        case 5:
        case 6: event = UploadSlots::Sent{who}; break;
      }
      for (const auto& action : slots.on(event, now)) {
        if (const auto* grant = std::get_if<Grant>(&action)) {
          REQUIRE(waits.erase(grant->device) == 1);
          REQUIRE(served.insert(grant->device).second);
        } else {
          const auto id = std::get<Revoke>(action).device;
          REQUIRE(served.erase(id) == 1);
          waits.emplace(id, now);
        }
        trace.push_back(action);
      }
      REQUIRE(served.size() <= most);
      REQUIRE(slots.serving() == served.size());
      // Twelve devices, each in front for a turn at most (and the gap until the next event).
      for (const auto& [device, since] : waits) REQUIRE(now - since < 12 * 32s);
    }
    return trace;
  };
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    CHECK(run(seed) == run(seed));
  }
}
