#include "reflector/ranges.hpp"

#include <catch2/catch.hpp>

#include "shared/swarm/torrent_file.hpp"

using namespace lamina;
using namespace lamina::reflector;
using namespace std::chrono_literals;

namespace {

PackId pack(int n) {
  std::array<std::byte, 32> bytes{};
  bytes[0] = static_cast<std::byte>(n);
  return PackId(bytes);
}
using Bits = swarm::PieceBits;

// Speaks in seconds since the lease began. Jitter is the least: a whole step is waited.
struct Bench {
  explicit Bench(Ranges::Limits limits = {}) : ranges(limits) {}

  std::optional<Ranges::Run> next(Duration t) { return ranges.next(chosen, Instant{t}); }
  // Asks for a run and has it answered after `took`; gives its count of pieces.
  std::uint32_t turn(Duration t, Duration took) {
    const auto run = next(t);
    REQUIRE(run);
    REQUIRE(ranges.arrive(run->number, Instant{t + took}));
    for (std::uint32_t i = 0; i < run->count; ++i) {
      ranges.settle(run->pack, run->first + i);
      chosen[run->pack][run->first + i] = false;
    }
    return run->count;
  }

  swarm::PieceMap chosen;
  Ranges ranges;
};

}  // namespace

TEST_CASE("ranges: nothing chosen, nothing asked", "[reflector]") {
  Bench bench;
  CHECK_FALSE(bench.next(0s));
  bench.chosen = {{pack(1), Bits(4, false)}};
  CHECK_FALSE(bench.next(0s));
  CHECK_FALSE(bench.ranges.next_change(Instant{}));
}

TEST_CASE("ranges: no piece is under way twice, and few runs at a time", "[reflector]") {
  Bench bench;
  bench.chosen = {{pack(1), Bits{true, false, true, true}}, {pack(2), Bits{true}}};
  const auto a = bench.next(0s), b = bench.next(0s), c = bench.next(0s);
  REQUIRE((a && b && c));
  CHECK(*a == Ranges::Run{1, pack(1), 0, 1});
  CHECK(*b == Ranges::Run{2, pack(1), 2, 1});
  CHECK(*c == Ranges::Run{3, pack(1), 3, 1});
  CHECK_FALSE(bench.next(0s));
  CHECK(bench.ranges.has(pack(1), 2));
  CHECK_FALSE(bench.ranges.has(pack(1), 1));
  CHECK_FALSE(bench.ranges.has(pack(2), 0));

  // Come, but not verified: still nobody else's.
  REQUIRE(bench.ranges.arrive(a->number, Instant{1s}));
  CHECK_FALSE(bench.ranges.arrive(a->number, Instant{1s}));
  CHECK(bench.ranges.has(pack(1), 0));
  CHECK(bench.next(1s)->pack == pack(2));
  bench.ranges.settle(pack(1), 0);
  CHECK_FALSE(bench.ranges.has(pack(1), 0));
}

TEST_CASE("ranges: runs are of adjacent pieces, longer where the line is fast", "[reflector]") {
  Bench bench({.run_pieces_max = 4, .run_time = 2s});
  bench.chosen = {{pack(1), Bits(40, true)}};
  CHECK(bench.turn(0s, 100ms) == 1);
  CHECK(bench.turn(1s, 100ms) == 2);
  CHECK(bench.turn(2s, 100ms) == 4);
  CHECK(bench.turn(3s, 1s) == 4);
  CHECK(bench.turn(4s, 3s) == 4);
  CHECK(bench.turn(8s, 3s) == 2);
  CHECK(bench.turn(12s, 3s) == 1);
  CHECK(bench.turn(16s, 3s) == 1);
  // Not over a gap, nor into the next pack.
  bench.turn(20s, 1ms);
  bench.turn(21s, 1ms);
  bench.chosen = {{pack(2), Bits{true, true, false, true}}, {pack(3), Bits{true, true}}};
  CHECK(bench.turn(22s, 1s) == 2);
  CHECK(bench.turn(23s, 1s) == 1);
  CHECK(bench.turn(24s, 1s) == 2);
}

TEST_CASE("ranges: after a failure nothing is asked for a while", "[reflector]") {
  Bench bench({.backoff = {1s, 4s}});
  bench.chosen = {{pack(1), Bits(4, true)}};
  const auto a = bench.next(0s), b = bench.next(0s);
  REQUIRE((a && b));
  bench.ranges.fail(a->number, 0, Instant{10s});
  bench.ranges.fail(b->number, 0, Instant{10s});  // Together with the first.
  bench.ranges.fail(99, 0, Instant{10s});         // None that is known.
  CHECK_FALSE(bench.next(10999ms));
  CHECK(bench.ranges.next_change(Instant{10s}) == Instant{11s});
  auto again = bench.next(11s);
  REQUIRE(again);
  CHECK(again->first == 0);  // It is free again.
  bench.ranges.fail(again->number, 0, Instant{11s});
  CHECK_FALSE(bench.next(12999ms));
  again = bench.next(13s);
  REQUIRE(again);
  REQUIRE(bench.ranges.arrive(again->number, Instant{13s}));
  const auto after = bench.next(13s);
  REQUIRE(after);
  bench.ranges.fail(after->number, 0, Instant{20s});
  CHECK(bench.next(21s));  // A success forgets the failures before it.
}

TEST_CASE("ranges: a piece with wrong bytes waits longer and longer, the others do not",
          "[reflector]") {
  Bench bench({.run_pieces_max = 1, .backoff = {1s, 4s}});
  bench.chosen = {{pack(1), Bits(2, true)}};
  auto run = bench.next(0s);
  REQUIRE(run);
  REQUIRE(bench.ranges.arrive(run->number, Instant{}));
  bench.ranges.spoil(pack(1), 0, 0, Instant{});
  CHECK_FALSE(bench.ranges.has(pack(1), 0));
  CHECK(bench.turn(500ms, 1ms) == 1);
  CHECK(bench.chosen[pack(1)] == Bits{true, false});
  CHECK_FALSE(bench.next(999ms));
  CHECK(bench.ranges.next_change(Instant{999ms}) == Instant{1s});
  run = bench.next(1s);
  REQUIRE(run);
  REQUIRE(bench.ranges.arrive(run->number, Instant{1s}));
  bench.ranges.spoil(pack(1), 0, 0, Instant{1s});
  CHECK_FALSE(bench.next(2999ms));
  CHECK(bench.turn(3s, 1ms) == 1);
}

TEST_CASE("ranges: what waits to be verified bounds what is asked for", "[reflector]") {
  Bench bench({.run_pieces_max = 1, .unverified_max = 2});
  bench.chosen = {{pack(1), Bits(8, true)}};
  for (int i = 0; i < 2; ++i) {
    const auto run = bench.next(0s);
    REQUIRE(run);
    REQUIRE(bench.ranges.arrive(run->number, Instant{}));
  }
  CHECK_FALSE(bench.next(0s));
  bench.ranges.settle(pack(1), 1);
  CHECK(bench.next(0s));
}

TEST_CASE("ranges: a rate is kept on average", "[reflector]") {
  // One piece a second.
  Bench bench({.rate = {std::int64_t{swarm::kPieceSize} * 8}});
  bench.chosen = {{pack(1), Bits(200, true)}};
  std::uint32_t pieces = 0;
  for (Duration t{}; t < 60s; t += 10ms)
    if (const auto run = bench.next(t)) {
      pieces += run->count;
      REQUIRE(bench.ranges.arrive(run->number, Instant{t + 1ms}));
      for (std::uint32_t i = 0; i < run->count; ++i) {
        bench.ranges.settle(run->pack, run->first + i);
        bench.chosen[run->pack][run->first + i] = false;
      }
    }
  CHECK(pieces >= 59);
  CHECK(pieces <= 64);
}

TEST_CASE("ranges: under a low rate runs are short, and another rate counts at once",
          "[reflector]") {
  const auto pieces_a_second = [](int count) {
    return BitRate{count * std::int64_t{swarm::kPieceSize} * 8};
  };
  Bench bench({.run_pieces_max = 4});
  bench.chosen = {{pack(1), Bits(400, true)}};
  bench.turn(0s, 1ms);
  bench.turn(0s, 1ms);
  CHECK(bench.turn(0s, 1ms) == 4);
  bench.ranges.limit(pieces_a_second(2), Instant{1s});
  CHECK(bench.turn(1s, 1ms) == 2);
  CHECK_FALSE(bench.next(1999ms));
  CHECK(bench.turn(2s, 1ms) == 2);
  bench.ranges.limit({pieces_a_second(1).bits_per_second / 100}, Instant{2s});
  CHECK(bench.turn(2s, 1ms) == 1);
  CHECK_FALSE(bench.next(101s));
  bench.ranges.limit({}, Instant{3s});
  CHECK(bench.turn(3s, 1ms) == 4);
  CHECK(bench.turn(3s, 1ms) == 4);
}

TEST_CASE("ranges: with the lease ends what was under way", "[reflector]") {
  Bench bench;
  bench.chosen = {{pack(1), Bits(4, true)}};
  const auto a = bench.next(0s), b = bench.next(0s);
  REQUIRE((a && b));
  REQUIRE(bench.ranges.arrive(b->number, Instant{}));
  bench.ranges.stop();
  CHECK_FALSE(bench.ranges.arrive(a->number, Instant{}));
  CHECK_FALSE(bench.ranges.has(pack(1), 0));
  CHECK_FALSE(bench.ranges.has(pack(1), 1));
  // One that was not asked for after all.
  const auto c = bench.next(1s);
  REQUIRE(c);
  CHECK(c->first == 0);
  bench.ranges.withdraw(c->number);
  CHECK_FALSE(bench.ranges.has(pack(1), 0));
}
