// SiteLease with more than one reflector; with one: site_lease_test.cpp.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "shared/policy/site_lease.hpp"

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

DeviceId device(unsigned char n) {
  std::array<std::byte, 16> bytes{};
  bytes[15] = std::byte{n};
  return DeviceId(bytes);
}
const DeviceId ann = device(1), bob = device(2), cem = device(3), dan = device(4);

using Reason = SiteLease::EndReason;
using Actions = std::vector<SiteLease::Action>;
constexpr std::int64_t kMiB = 1 << 20;

Instant at(Duration since_start) { return Instant{since_start}; }
ShareSet low(int count) { return ShareSet::all().lowest(count); }
ShareSet high(int count) { return ShareSet::all().highest(count); }

// Speaks to the policy in time since the test began.
struct Bench {
  explicit Bench(int reflectors, std::set<DeviceId> named = {}) {
    configure(0s, reflectors, std::move(named));
  }

  SiteLease lease{{.lease = 5s}, 100};

  Actions configure(Duration t, int reflectors, std::set<DeviceId> named = {}) {
    return lease.on(SiteLease::Configured{reflectors, std::move(named)}, at(t));
  }
  Actions reports(Duration t, DeviceId who, std::int64_t missing, bool unfit = false) {
    return lease.on(SiteLease::Reported{who, {missing}, unfit}, at(t));
  }
  // In the epoch that it holds.
  Actions renews(Duration t, DeviceId who, std::int64_t missing = 100 * kMiB,
                 std::optional<std::int64_t> left = std::nullopt) {
    REQUIRE(lease.holder(who));
    return lease.on(SiteLease::Renewed{who,
                                       lease.holder(who)->epoch,
                                       {missing},
                                       left ? std::optional(Bytes{*left}) : std::nullopt},
                    at(t));
  }
  Actions leaves(Duration t, DeviceId who) { return lease.on(SiteLease::Left{who}, at(t)); }
  Actions passes(Duration t) { return lease.on(SiteLease::Tick{}, at(t)); }
  ShareSet of(DeviceId who) const {
    const auto holder = lease.holder(who);
    return holder ? holder->shares : ShareSet();
  }
  // Ann and Bob hold half of the shares each, at 2 s.
  static Bench halves() {
    Bench bench(2);
    bench.reports(0s, ann, 100 * kMiB);
    bench.reports(0s, bob, 100 * kMiB);
    bench.renews(1s, ann);
    bench.renews(2s, ann);
    REQUIRE(bench.of(ann) == low(6));
    REQUIRE(bench.of(bob) == high(6));
    return bench;
  }
};

}  // namespace

TEST_CASE("several reflectors: one candidate gets all shares, the second half of them by renewals",
          "[policy]") {
  Bench bench(2);
  CHECK(bench.reports(0s, ann, 10) == Actions{SiteLease::Granted{ann, 100, at(5s)}});
  CHECK(bench.reports(0s, bob, 10).empty());
  // Told the smaller set; nobody has the rest yet.
  CHECK(bench.renews(1s, ann) == Actions{SiteLease::Extended{ann, 101, at(6s), low(6)}});
  CHECK(bench.of(bob).empty());
  // It has the smaller set: the rest is Bob's.
  CHECK(bench.renews(2s, ann) == Actions{SiteLease::Extended{ann, 101, at(7s), low(6)},
                                         SiteLease::Granted{bob, 102, at(7s), high(6)}});
  CHECK(bench.renews(3s, ann) == Actions{SiteLease::Extended{ann, 101, at(8s), low(6)}});
  CHECK(bench.reports(3s, cem, 10).empty());  // Two are enough.
}

TEST_CASE("several reflectors: an answer that was lost is given again, and frees nothing",
          "[policy]") {
  Bench bench(2);
  bench.reports(0s, ann, 10);
  bench.reports(0s, bob, 10);
  bench.renews(1s, ann);
  const SiteLease::Renewed again{ann, 100, {10}};
  CHECK(bench.lease.on(again, at(2s)) == Actions{SiteLease::Extended{ann, 101, at(7s), low(6)}});
  CHECK(bench.of(bob).empty());
  bench.renews(3s, ann);
  CHECK(bench.of(bob) == high(6));
  // And from then on only the newer epoch holds.
  CHECK(bench.lease.on(again, at(4s)) == Actions{SiteLease::Refused{ann, 100}});
}

TEST_CASE("several reflectors: a holder that is to give shares up and lapses frees all of them",
          "[policy]") {
  Bench bench(2);
  bench.reports(0s, ann, 10);
  bench.reports(0s, bob, 10);
  bench.renews(1s, ann);
  CHECK(bench.passes(6s) ==
        Actions{SiteLease::Ended{ann, 101, Reason::lapsed}, SiteLease::Granted{bob, 102, at(11s)}});
}

TEST_CASE("several reflectors: a dead one's shares go to a device without any, else to the other",
          "[policy]") {
  const bool is_third_there = GENERATE(true, false);
  Bench bench = Bench::halves();
  if (is_third_there) bench.reports(2s, cem, 10);
  for (const auto t : {3s, 4s, 5s, 6s}) bench.renews(t, ann);
  const Actions after = bench.passes(7s);
  CHECK(after[0] == SiteLease::Action{SiteLease::Ended{bob, 102, Reason::lapsed}});
  if (is_third_there) {
    CHECK(after[1] == SiteLease::Action{SiteLease::Granted{cem, 103, at(12s), high(6)}});
    bench.renews(8s, ann);
    CHECK(bench.of(ann) == low(6));
  } else {
    CHECK(after.size() == 1);
    CHECK(bench.renews(8s, ann) == Actions{SiteLease::Extended{ann, 103, at(13s)}});
  }
}

TEST_CASE("several reflectors: three and four divide alike, however they come", "[policy]") {
  const int reflectors = GENERATE(3, 4);
  Bench bench(reflectors);
  bench.reports(0s, ann, 10);
  auto t = 1s;
  const auto all_renew = [&] {
    for (const auto& holder : bench.lease.holders()) bench.renews(t, holder.device);
    ++t;
  };
  for (const auto& who : {bob, cem, dan}) {
    bench.reports(t, who, 10);
    all_renew();
    all_renew();
  }
  for (int i = 0; i < 4; ++i) all_renew();
  REQUIRE(bench.lease.holders().size() == static_cast<std::size_t>(reflectors));
  for (const auto& holder : bench.lease.holders())
    CHECK(holder.shares.size() == ShareSet::kCount / reflectors);
}

TEST_CASE("several reflectors: one that has its part takes half of what a slow one has left",
          "[policy]") {
  Bench bench = Bench::halves();
  bench.renews(3s, ann, 50 * kMiB, 0);
  // Too little to be worth it.
  bench.renews(3s, bob, 50 * kMiB, 16 * kMiB - 1);
  CHECK(bench.of(bob) == high(6));
  bench.renews(4s, bob, 50 * kMiB, 16 * kMiB);
  CHECK(bench.of(bob) == high(6).lowest(3));
  bench.renews(4s, ann, 50 * kMiB, 0);
  CHECK(bench.of(ann) == low(6));  // Bob may still be at it.
  bench.renews(5s, bob, 50 * kMiB, 16 * kMiB);
  CHECK(bench.of(bob) == high(6).lowest(3));  // One step at a time.
  bench.renews(5s, ann, 50 * kMiB, 0);
  CHECK(bench.of(ann) == (low(6) | high(3)));
  // And back, should it turn out the other way; what is not said is not idle.
  bench.renews(6s, ann, 40 * kMiB, 20 * kMiB);
  CHECK(bench.of(ann).size() == 9);
  bench.renews(6s, bob, 40 * kMiB, 0);
  bench.renews(7s, ann, 40 * kMiB, 20 * kMiB);
  CHECK(bench.of(ann).size() == 5);
}

TEST_CASE("several reflectors: a holder that has everything leaves its shares to the other",
          "[policy]") {
  Bench bench = Bench::halves();
  CHECK(bench.renews(3s, ann, 0) == Actions{SiteLease::Ended{ann, 101, Reason::done}});
  CHECK(bench.renews(3s, bob) == Actions{SiteLease::Extended{bob, 103, at(8s)}});
}

TEST_CASE("several reflectors: named devices come first, and others give way to them", "[policy]") {
  Bench bench(2, {cem, dan});
  CHECK(bench.reports(0s, ann, 1) == Actions{SiteLease::Granted{ann, 100, at(5s)}});
  bench.reports(0s, bob, 1);
  bench.reports(0s, cem, 90);
  // One named beside Ann; Bob, who lacks less, is not asked.
  bench.renews(1s, ann);
  bench.renews(2s, ann);
  CHECK(bench.of(ann) == low(6));
  CHECK(bench.of(cem) == high(6));
  bench.reports(2500ms, dan, 95);
  CHECK(bench.renews(3s, cem) == Actions{SiteLease::Extended{cem, 102, at(8s), high(6)}});
  CHECK(bench.renews(3s, ann) == Actions{SiteLease::Ended{ann, 101, Reason::replaced},
                                         SiteLease::Granted{dan, 103, at(8s), low(6)}});
  // When one of them is away, the best of the others does it.
  CHECK(bench.leaves(4s, cem) == Actions{SiteLease::Ended{cem, 102, Reason::left},
                                         SiteLease::Granted{bob, 104, at(9s), high(6)}});
}

TEST_CASE("several reflectors: one reflector that is named replaces another at once", "[policy]") {
  Bench bench(1, {bob});
  bench.reports(0s, ann, 10);
  bench.reports(0s, bob, 10);
  CHECK(bench.renews(1s, ann) == Actions{SiteLease::Ended{ann, 100, Reason::replaced},
                                         SiteLease::Granted{bob, 101, at(6s)}});
  // A named one that should not serve does not.
  bench.reports(2s, bob, 10, true);
  CHECK(bench.of(ann) == ShareSet::all());
}

TEST_CASE("several reflectors: with fewer from now on the newest gives its shares up", "[policy]") {
  Bench bench = Bench::halves();
  CHECK(bench.configure(3s, 1).empty());
  CHECK(bench.renews(3s, ann) == Actions{SiteLease::Extended{ann, 101, at(8s), low(6)}});
  CHECK(bench.renews(3s, bob) == Actions{SiteLease::Ended{bob, 102, Reason::replaced}});
  CHECK(bench.renews(4s, ann) == Actions{SiteLease::Extended{ann, 103, at(9s)}});
  CHECK(bench.configure(5s, 2).empty());
  bench.renews(5s, ann);
  bench.renews(6s, ann);
  CHECK(bench.of(bob) == high(6));
}

TEST_CASE("several reflectors: one that became unfit leaves its shares to a fit holder",
          "[policy]") {
  Bench bench = Bench::halves();
  CHECK(bench.reports(3s, bob, 10, true) == Actions{SiteLease::Ended{bob, 102, Reason::unfit}});
  bench.renews(3s, ann);
  CHECK(bench.of(ann) == ShareSet::all());
}

TEST_CASE("several reflectors: who let a lease lapse is none beside another until it is complete",
          "[policy]") {
  Bench bench = Bench::halves();
  for (const auto t : {3s, 4s, 5s, 6s, 7s}) bench.renews(t, ann);  // Bob lapses.
  bench.reports(7s, bob, 10);
  bench.renews(8s, ann);
  CHECK(bench.of(ann) == ShareSet::all());
  bench.reports(8s, bob, 0);
  bench.reports(9s, bob, 10);
  bench.renews(9s, ann);
  CHECK(bench.of(ann) == low(6));
}

namespace {

// Devices that act on the tokens that reach them, and an origin whose answers are lost at times.
// Everything that happens is checked by SiteLease itself; here, what it means on the devices.
struct Model {
  explicit Model(std::uint64_t seed) : random(seed) {}

  struct Token {
    std::uint64_t epoch = 0;
    Instant expires;
    ShareSet shares;
  };
  static constexpr unsigned char kDevices = 6;

  std::mt19937_64 random;
  SiteLease lease{{.lease = 5s}, 1};
  Instant now{};
  std::map<DeviceId, Token> tokens;
  std::uint64_t last_epoch = 0;
  std::size_t grants = 0, moves = 0;

  std::uint64_t below(std::uint64_t bound) { return random() % bound; }
  DeviceId any() { return device(static_cast<unsigned char>(1 + below(kDevices))); }

  // What the origin answers reaches the device, or is lost.
  void feed(const SiteLease::Event& event, const DeviceId& asks, bool is_lost) {
    const auto before = lease.holders();
    const Actions actions = lease.on(event, now);
    for (const auto& action : actions) {
      if (const auto* granted = std::get_if<SiteLease::Granted>(&action)) {
        REQUIRE(granted->epoch > last_epoch);
        last_epoch = granted->epoch;
        ++grants;
      } else if (const auto* extended = std::get_if<SiteLease::Extended>(&action)) {
        const auto old = std::ranges::find(before, extended->device, &SiteLease::Holder::device);
        REQUIRE(old != before.end());
        if (extended->epoch != old->epoch) {
          REQUIRE(extended->epoch > last_epoch);
          REQUIRE(extended->shares != old->shares);
          last_epoch = extended->epoch;
          ++moves;
        } else {
          REQUIRE(extended->shares == old->shares);
        }
      } else if (const auto* ended = std::get_if<SiteLease::Ended>(&action)) {
        // It wants nothing more, or hears of that by its next renewal, or by the seeders.
        if (ended->reason != Reason::lapsed) tokens.erase(ended->device);
      }
    }
    if (is_lost) return;
    const auto mine = lease.holder(asks);
    if (mine)
      tokens[asks] = {mine->epoch, mine->expires, mine->shares};
    else
      tokens.erase(asks);
  }

  void check() const {
    ShareSet used;
    for (const auto& [device, token] : tokens) {
      if (token.expires <= now) continue;
      INFO(device.hex() << " epoch " << token.epoch);
      REQUIRE_FALSE(used.overlaps(token.shares));
      used = used | token.shares;
    }
  }

  void step() {
    now += std::chrono::milliseconds(below(900));
    lease.on(SiteLease::Tick{}, now);
    std::erase_if(tokens, [this](const auto& entry) { return entry.second.expires <= now; });
    const DeviceId who = any();
    const bool is_lost = below(4) == 0;
    const Bytes missing{static_cast<std::int64_t>(below(8) * 10 * kMiB)};
    switch (below(16)) {
      case 0: feed(SiteLease::Left{who}, who, true); break;
      case 1: {
        SiteLease::Configured configured{.reflectors = static_cast<int>(1 + below(4))};
        for (auto named = below(3); named > 0; --named) configured.named.insert(any());
        feed(configured, {}, true);
        break;
      }
      case 2:
      case 3:
      case 4: feed(SiteLease::Reported{who, missing, below(8) == 0}, who, is_lost); break;
      default: renew_one(missing, is_lost);
    }
    check();
  }

  void renew_one(Bytes missing, bool is_lost) {
    if (tokens.empty()) return;
    const auto at = std::next(tokens.begin(), static_cast<std::ptrdiff_t>(below(tokens.size())));
    const DeviceId who = at->first;
    if (missing.count == 0 && below(4) != 0) missing.count = kMiB;
    const Bytes left{static_cast<std::int64_t>(below(3) * 20 * kMiB)};
    feed(SiteLease::Renewed{who, at->second.epoch, missing, left}, who, is_lost);
  }

  // All devices that are there poll and renew, and lack content: what must come of it.
  void settle(int reflectors) {
    feed(SiteLease::Configured{reflectors, {}}, {}, true);
    for (unsigned char n = 1; n <= kDevices; ++n) {
      feed(SiteLease::Reported{device(n), {0}}, device(n), false);
      feed(SiteLease::Reported{device(n), {50 * kMiB}}, device(n), false);
    }
    for (int second = 0; second < 20; ++second) {
      now += 1s;
      for (const auto& [who, token] : std::map(tokens))
        feed(SiteLease::Renewed{who, token.epoch, {50 * kMiB}, Bytes{25 * kMiB}}, who, false);
      for (unsigned char n = 1; n <= kDevices; ++n)
        if (!tokens.contains(device(n)))
          feed(SiteLease::Reported{device(n), {50 * kMiB}}, device(n), false);
      check();
    }
    ShareSet owned;
    for (const auto& holder : lease.holders()) {
      owned = owned | holder.shares;
      CHECK(holder.shares.size() == ShareSet::kCount / reflectors);
    }
    CHECK(owned.is_all());
    CHECK(lease.holders().size() == static_cast<std::size_t>(reflectors));
  }
};

}  // namespace

TEST_CASE("several reflectors: whatever happens, no share is fetched by two, and all by somebody",
          "[policy]") {
  std::size_t moves = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    Model model(seed);
    for (int i = 0; i < 200; ++i) model.step();
    REQUIRE(model.grants > 0);
    moves += model.moves;
    model.settle(static_cast<int>(1 + seed % 4));
  }
  CHECK(moves > 1000);
}

TEST_CASE("several reflectors: as long as a device lacks content and polls, every share is owned",
          "[policy]") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    SiteLease lease({.lease = 5s}, 1);
    Instant now{};
    lease.on(SiteLease::Configured{static_cast<int>(1 + random() % 4)}, now);
    std::map<DeviceId, std::uint64_t> alive;
    for (unsigned char n = 1; n <= 6; ++n) alive[device(n)] = 0;
    Instant whole = now;  // When every share was somebody's, last.
    for (int second = 0; second < 120; ++second) {
      now += 1s;
      // One dies now and then, but the last one stays.
      if (random() % 20 == 0 && alive.size() > 1) alive.erase(alive.begin());
      for (auto& [who, epoch] : alive) {
        if (const auto holder = lease.holder(who))
          lease.on(SiteLease::Renewed{who,
                                      holder->epoch,
                                      {50 * kMiB},
                                      Bytes{static_cast<std::int64_t>(random() % 2) * 30 * kMiB}},
                   now);
        else
          lease.on(SiteLease::Reported{who, {50 * kMiB}}, now);
      }
      ShareSet owned;
      for (const auto& holder : lease.holders())
        if (alive.contains(holder.device)) owned = owned | holder.shares;
      if (owned.is_all()) whole = now;
      // Four deaths in a row, each a lease and a renewal.
      REQUIRE(now - whole <= 24s);
    }
  }
}
