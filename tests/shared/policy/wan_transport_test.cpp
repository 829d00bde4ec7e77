#include "shared/policy/wan_transport.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

using Kind = WanTransport::Kind;
using Reason = WanTransport::Reason;

// Speaks in seconds since the lease began.
struct Bench {
  WanTransport transport{{.patience = 4s}};
  std::optional<WanTransport::Change> said;

  Bench() { transport.begin(Instant{}); }
  void at(std::chrono::seconds t, WanTransport::Seen seen) {
    said = transport.on(seen, Instant{t});
  }
};

constexpr WanTransport::Seen kSilence{
    .knows_seeders = true, .is_offered = false, .is_wanted = true};
constexpr WanTransport::Seen kOffer{.knows_seeders = true, .is_offered = true, .is_wanted = true};
constexpr WanTransport::Seen kNothingToDo{
    .knows_seeders = true, .is_offered = false, .is_wanted = false};

}  // namespace

TEST_CASE("wan transport: ranges take over when no seeder answers for a while", "[policy]") {
  Bench bench;
  for (const auto t : {0s, 1s, 3s}) {
    bench.at(t, kSilence);
    CHECK_FALSE(bench.said);
  }
  CHECK(bench.transport.kind() == Kind::swarm);
  bench.at(4s, kSilence);
  CHECK(bench.said == WanTransport::Change{Kind::https, Reason::no_seeder_reached});
  bench.at(5s, kSilence);
  CHECK_FALSE(bench.said);
  CHECK(bench.transport.kind() == Kind::https);
}

TEST_CASE("wan transport: the time counts from the last offer", "[policy]") {
  Bench bench;
  bench.at(3s, kOffer);
  bench.at(6s, kSilence);
  CHECK_FALSE(bench.said);
  bench.at(7s, kSilence);
  CHECK(bench.said == WanTransport::Change{Kind::https, Reason::no_seeder_reached});
}

TEST_CASE("wan transport: who wants nothing has not waited", "[policy]") {
  Bench bench;
  bench.at(100s, kNothingToDo);
  CHECK_FALSE(bench.said);
  bench.at(103s, kSilence);
  CHECK_FALSE(bench.said);
  bench.at(104s, kSilence);
  CHECK(bench.said);
}

TEST_CASE("wan transport: without a seeder's address nothing is waited for", "[policy]") {
  Bench bench;
  bench.at(0s, {.knows_seeders = false, .is_offered = false, .is_wanted = true});
  CHECK(bench.said == WanTransport::Change{Kind::https, Reason::no_seeder_known});
}

TEST_CASE(
    "wan transport: a seeder takes the line back, and the next lease starts as the last ended",
    "[policy]") {
  Bench bench;
  bench.at(4s, kSilence);
  REQUIRE(bench.transport.kind() == Kind::https);
  bench.transport.begin(Instant{60s});
  bench.at(60s, kSilence);
  CHECK_FALSE(bench.said);
  CHECK(bench.transport.kind() == Kind::https);
  bench.at(61s, kOffer);
  CHECK(bench.said == WanTransport::Change{Kind::swarm, Reason::seeder_reached});
  bench.at(62s, kOffer);
  CHECK_FALSE(bench.said);
}

TEST_CASE("wan transport: a rule counts from the start and whatever is seen", "[policy]") {
  WanTransport swarm({.patience = 4s, .only = Kind::swarm});
  CHECK_FALSE(swarm.on(kSilence, Instant{100s}));
  CHECK_FALSE(
      swarm.on({.knows_seeders = false, .is_offered = false, .is_wanted = true}, Instant{101s}));
  CHECK(swarm.kind() == Kind::swarm);
  CHECK(swarm.may_dial());
  WanTransport https({.patience = 4s, .only = Kind::https});
  CHECK_FALSE(https.may_dial());
  CHECK(https.on(kNothingToDo, Instant{}) == WanTransport::Change{Kind::https, Reason::rule});
  CHECK_FALSE(https.on(kOffer, Instant{1s}));
  CHECK(https.kind() == Kind::https);
}

TEST_CASE("wan transport: a rule holds at once, and what is found counts again without it",
          "[policy]") {
  Bench bench;
  bench.at(0s, kOffer);
  bench.transport.rule(Kind::https);
  CHECK_FALSE(bench.transport.may_dial());
  bench.at(1s, kOffer);
  CHECK(bench.said == WanTransport::Change{Kind::https, Reason::rule});
  bench.transport.rule(std::nullopt);
  CHECK(bench.transport.may_dial());
  bench.at(2s, kSilence);  // Nobody is dialled yet.
  CHECK_FALSE(bench.said);
  bench.at(3s, kOffer);
  CHECK(bench.said == WanTransport::Change{Kind::swarm, Reason::seeder_reached});
  bench.transport.rule(Kind::swarm);
  bench.at(60s, kSilence);
  CHECK_FALSE(bench.said);
}
