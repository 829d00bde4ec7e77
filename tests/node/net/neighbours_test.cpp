#include "node/net/neighbours.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;

namespace {

DeviceId device(int n) {
  std::array<std::byte, DeviceId::kSize> bytes{};
  bytes[0] = std::byte(n);
  return DeviceId(bytes);
}

// Device 1 of a site of four; of the last one there is no address. Time since the test began.
struct Bench {
  format::SiteMembers list{.site = "north",
                           .sequence = 7,
                           .issued = {},
                           .members = {{device(1), "10.0.0.1", 8444, 8445},
                                       {device(2), "10.0.0.2", 8444, 8445},
                                       {device(3), "10.0.0.3", 8444, 0},
                                       {device(4), "", 0, 0}}};
  Neighbours neighbours{{}, device(1), Instant{}};

  static format::Beacon beacon(int n, std::uint64_t counter, const std::string& site = "north") {
    return {
        .site = site, .device = device(n), .counter = counter, .port = 9444, .relay_port = 9445};
  }
  bool hear(int n, std::uint64_t counter, const std::string& address, Duration at = 0s) {
    const auto said = beacon(n, counter);
    REQUIRE(neighbours.judge(said, list));
    return neighbours.heard(said, address, Instant{at});
  }
};

}  // namespace

TEST_CASE("neighbours: a device counts where it was heard, the others where the list has them",
          "[node]") {
  Bench bench;
  const std::vector<wire::Peer> before{{device(2), "10.0.0.2", 8444, 8445},
                                       {device(3), "10.0.0.3", 8444, std::nullopt}};
  CHECK(bench.neighbours.peers(bench.list) == before);
  CHECK(bench.hear(2, 1, "10.0.0.77"));
  CHECK(bench.hear(4, 1, "10.0.0.4"));
  const std::vector<wire::Peer> after{{device(2), "10.0.0.77", 9444, 9445},
                                      {device(3), "10.0.0.3", 8444, std::nullopt},
                                      {device(4), "10.0.0.4", 9444, 9445}};
  CHECK(bench.neighbours.peers(bench.list) == after);
  CHECK_FALSE(bench.hear(2, 2, "10.0.0.77"));  // Nothing new.
  CHECK(bench.hear(2, 3, "10.0.0.78"));
}

TEST_CASE("neighbours: who knows a layer, those that hold all of it first", "[node]") {
  Bench bench;
  const LayerId layer;
  for (int n = 2; n <= 4; ++n) {
    auto said = Bench::beacon(n, 1);
    said.layers = {{layer, n == 3}};
    if (n == 4) said.relay_port = 0;  // Takes no calls.
    bench.neighbours.heard(said, "10.0.0." + std::to_string(n), Instant{});
  }
  const std::vector<wire::Peer> expected{{device(3), "10.0.0.3", 9444, 9445},
                                         {device(2), "10.0.0.2", 9444, 9445}};
  CHECK(bench.neighbours.knowing(layer) == expected);
}

TEST_CASE("neighbours: foreign, unlisted, own and replayed beacons do not count", "[node]") {
  Bench bench;
  const auto judge = [&](const format::Beacon& beacon) {
    return bench.neighbours.judge(beacon, bench.list).has_value();
  };
  CHECK_FALSE(judge(Bench::beacon(2, 1, "south")));
  CHECK_FALSE(judge(Bench::beacon(5, 1)));
  CHECK_FALSE(judge(Bench::beacon(1, 1)));
  REQUIRE(bench.hear(2, 10, "10.0.0.2"));
  CHECK_FALSE(judge(Bench::beacon(2, 10)));
  CHECK_FALSE(judge(Bench::beacon(2, 9)));
  CHECK(judge(Bench::beacon(2, 11)));
  // Counters are each device's own.
  CHECK(judge(Bench::beacon(3, 1)));
}

TEST_CASE("neighbours: one address that floods takes nothing from the others", "[node]") {
  Bench bench;
  int admitted = 0;
  for (int i = 0; i < 10'000; ++i)
    admitted += bench.neighbours.admit("10.0.0.66", 900, Instant{1ms * i}) ? 1 : 0;
  CHECK(admitted <= 8 + 8 * 10);  // Its bucket, and what ten seconds fill.
  CHECK(bench.neighbours.admit("10.0.0.2", 900, Instant{10s}));
  CHECK_FALSE(bench.neighbours.admit("10.0.0.3", format::kBeaconMax + 1, Instant{10s}));
  CHECK_FALSE(bench.neighbours.admit("10.0.0.3", 0, Instant{10s}));
}

TEST_CASE("neighbours: many addresses cost no more work and memory than is set", "[node]") {
  Bench bench;
  int admitted = 0;
  for (int i = 0; i < 100'000; ++i)
    admitted += bench.neighbours.admit("a" + std::to_string(i), 900, Instant{10us * i}) ? 1 : 0;
  CHECK(admitted <= 200 + 200);
  // When the flood is over there is room again.
  CHECK(bench.neighbours.admit("10.0.0.2", 900, Instant{5s}));
}

TEST_CASE("neighbours: beacons are frequent without the origin, rare with it, never in step",
          "[node]") {
  Bench bench;
  Neighbours& neighbours = bench.neighbours;
  CHECK(neighbours.next_sending() == Instant{});  // At once.
  neighbours.sent(Instant{}, 0);
  CHECK(neighbours.next_sending() == Instant{30s});
  neighbours.sent(Instant{}, UINT64_MAX / 3);
  CHECK(neighbours.next_sending() > Instant{30s});
  CHECK(neighbours.next_sending() <= Instant{60s});
  neighbours.set_away(true, Instant{1s}, 0);
  CHECK(neighbours.next_sending() == Instant{1500ms});
  neighbours.sent(Instant{2s}, 0);
  CHECK(neighbours.next_sending() == Instant{3500ms});
  // A device that was not heard before is answered soon.
  neighbours.set_away(false, Instant{3s}, 0);
  neighbours.sent(Instant{3s}, 0);
  bench.hear(2, 1, "10.0.0.2", 4s);
  CHECK(neighbours.next_sending() == Instant{5s});
}

TEST_CASE("neighbours: who is silent for long is where the list has it", "[node]") {
  Bench bench;
  bench.hear(2, 1, "10.0.0.77");
  CHECK_FALSE(bench.neighbours.expire(Instant{9min}));
  CHECK(bench.neighbours.expire(Instant{10min}));
  CHECK(bench.neighbours.peers(bench.list)[0].address == "10.0.0.2");
  bench.hear(2, 5, "10.0.0.77", 11min);
  bench.neighbours.forget();
  CHECK(bench.neighbours.size() == 0);
}
