#include "shared/policy/site_lease.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

DeviceId device(unsigned char n) {
  std::array<std::byte, 16> bytes{};
  bytes[15] = std::byte{n};
  return DeviceId(bytes);
}
const DeviceId ann = device(1), bob = device(2), cem = device(3);

using Reason = SiteLease::EndReason;
using Actions = std::vector<SiteLease::Action>;

Instant at(Duration since_start) { return Instant{since_start}; }

// Speaks to the policy in time since the test began.
struct Bench {
  SiteLease lease{{.lease = 5s}, 100};

  // The one that there is.
  std::optional<SiteLease::Holder> holder() const {
    const auto all = lease.holders();
    REQUIRE(all.size() <= 1);
    return all.empty() ? std::nullopt : std::optional(all[0]);
  }

  Actions reports(Duration t, DeviceId who, std::int64_t missing) {
    return lease.on(SiteLease::Reported{who, {missing}}, at(t));
  }
  Actions renews(Duration t, DeviceId who, std::uint64_t epoch, std::int64_t missing) {
    return lease.on(SiteLease::Renewed{who, epoch, {missing}}, at(t));
  }
  Actions leaves(Duration t, DeviceId who) { return lease.on(SiteLease::Left{who}, at(t)); }
  Actions passes(Duration t) { return lease.on(SiteLease::Tick{}, at(t)); }
};

}  // namespace

TEST_CASE("site lease: nobody holds it while nobody lacks anything", "[policy]") {
  Bench bench;
  CHECK(bench.reports(0s, ann, 0).empty());
  CHECK_FALSE(bench.holder());
  CHECK_FALSE(bench.lease.next_change());
}

TEST_CASE("site lease: the first that lacks content is granted it, the next one waits",
          "[policy]") {
  Bench bench;
  CHECK(bench.reports(0s, bob, 10) == Actions{SiteLease::Granted{bob, 100, at(5s)}});
  CHECK(bench.reports(1s, ann, 10).empty());
  CHECK(bench.holder()->device == bob);
  CHECK(bench.lease.next_change() == at(5s));
}

TEST_CASE("site lease: a renewal extends it in the same epoch", "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 10);
  CHECK(bench.renews(1s, ann, 100, 9) == Actions{SiteLease::Extended{ann, 100, at(6s)}});
  CHECK(bench.renews(5900ms, ann, 100, 8) == Actions{SiteLease::Extended{ann, 100, at(10900ms)}});
}

TEST_CASE("site lease: a poll of the holder is no renewal", "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 10);
  CHECK(bench.reports(4s, ann, 5).empty());
  CHECK(bench.lease.next_change() == at(5s));
}

TEST_CASE("site lease: it lapses exactly at its end, and a lapsed device waits for its next report",
          "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 10);
  CHECK(bench.passes(5s - 1ns).empty());
  CHECK(bench.passes(5s) == Actions{SiteLease::Ended{ann, 100, Reason::lapsed}});
  CHECK_FALSE(bench.holder());
  CHECK(bench.reports(9s, ann, 10) == Actions{SiteLease::Granted{ann, 101, at(14s)}});
}

TEST_CASE("site lease: when the holder dies the one that lacks least takes over, then the next",
          "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 100);
  bench.reports(0s, bob, 60);
  bench.reports(0s, cem, 50);
  CHECK(bench.passes(5s) ==
        Actions{SiteLease::Ended{ann, 100, Reason::lapsed}, SiteLease::Granted{cem, 101, at(10s)}});
  CHECK(bench.passes(10s) ==
        Actions{SiteLease::Ended{cem, 101, Reason::lapsed}, SiteLease::Granted{bob, 102, at(15s)}});
  // Everybody was tried once and nobody is heard of: silence.
  CHECK(bench.passes(15s) == Actions{SiteLease::Ended{bob, 102, Reason::lapsed}});
  CHECK_FALSE(bench.lease.next_change());
}

TEST_CASE("site lease: equal candidates are told apart by id", "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 100);
  bench.reports(0s, cem, 50);
  bench.reports(0s, bob, 50);
  CHECK(bench.passes(5s).back() == SiteLease::Action{SiteLease::Granted{bob, 101, at(10s)}});
}

TEST_CASE("site lease: one that let it lapse comes after one that did not, even lacking less",
          "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 1);
  bench.reports(0s, bob, 100);
  bench.passes(5s);  // Bob holds epoch 101.
  bench.reports(6s, ann, 1);
  bench.reports(6s, cem, 100);
  CHECK(bench.leaves(7s, bob) ==
        Actions{SiteLease::Ended{bob, 101, Reason::left}, SiteLease::Granted{cem, 102, at(12s)}});
}

TEST_CASE("site lease: a renewal wipes the lapses out", "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 10);
  bench.passes(5s);
  bench.reports(6s, ann, 10);
  bench.renews(7s, ann, 101, 9);
  bench.reports(8s, bob, 20);
  bench.passes(12s);  // Ann lapses (once), Bob holds 102.
  CHECK(bench.holder()->device == bob);
  bench.passes(17s);  // Bob lapses as well: both once, and the fewest bytes decide.
  bench.reports(18s, cem, 0);
  bench.reports(18s, ann, 9);
  CHECK(bench.holder()->device == ann);
}

TEST_CASE("site lease: one that has everything gives it back and the next takes over", "[policy]") {
  for (const bool by_renewal : {true, false}) {
    CAPTURE(by_renewal);
    Bench bench;
    bench.reports(0s, ann, 10);
    bench.reports(0s, bob, 10);
    const Actions said = by_renewal ? bench.renews(1s, ann, 100, 0) : bench.reports(1s, ann, 0);
    CHECK(said ==
          Actions{SiteLease::Ended{ann, 100, Reason::done}, SiteLease::Granted{bob, 101, at(6s)}});
  }
}

TEST_CASE("site lease: only the current holder in the current epoch may renew", "[policy]") {
  struct Row {
    const char* what;
    DeviceId who;
    std::uint64_t epoch;
  };
  const Row rows[] = {{"another device", bob, 100},
                      {"an older epoch", ann, 99},
                      {"a later epoch", ann, 101},
                      {"a stranger", cem, 100}};
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Bench bench;
    bench.reports(0s, ann, 10);
    bench.reports(0s, bob, 10);
    CHECK(bench.renews(1s, row.who, row.epoch, 5) ==
          Actions{SiteLease::Refused{row.who, row.epoch}});
    CHECK(bench.lease.next_change() == at(5s));
  }
}

TEST_CASE("site lease: one that was stopped and continued is refused after its lease has lapsed",
          "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 10);
  bench.reports(0s, bob, 20);
  CHECK(bench.renews(8s, ann, 100, 5) == Actions{SiteLease::Ended{ann, 100, Reason::lapsed},
                                                 SiteLease::Refused{ann, 100},
                                                 SiteLease::Granted{bob, 101, at(13s)}});
}

TEST_CASE("site lease: a device that leaves loses the lease and is forgotten", "[policy]") {
  Bench bench;
  bench.reports(0s, ann, 10);
  CHECK(bench.leaves(1s, ann) == Actions{SiteLease::Ended{ann, 100, Reason::left}});
  CHECK(bench.leaves(1s, bob).empty());
  CHECK(bench.renews(2s, ann, 100, 10) == Actions{SiteLease::Refused{ann, 100}});
}

TEST_CASE(
    "site lease: a device that should not serve is granted it only if nobody else lacks anything",
    "[policy]") {
  Bench bench;
  const auto reports = [&](Duration t, DeviceId who, std::int64_t missing, bool unfit) {
    return bench.lease.on(SiteLease::Reported{who, {missing}, unfit}, at(t));
  };
  CHECK(reports(0s, ann, 10, true) == Actions{SiteLease::Granted{ann, 100, at(5s)}});
  CHECK(reports(1s, bob, 5, true).empty());
  // A fit one takes over, though it lacks more.
  CHECK(reports(2s, cem, 90, false) ==
        Actions{SiteLease::Ended{ann, 100, Reason::unfit}, SiteLease::Granted{cem, 101, at(7s)}});
  // One that becomes unfit with nobody fit beside it goes on.
  CHECK(reports(3s, cem, 80, true).empty());
  CHECK(bench.passes(7s) ==
        Actions{SiteLease::Ended{cem, 101, Reason::lapsed}, SiteLease::Granted{bob, 102, at(12s)}});
  // It does not hand over to one that let its lease lapse: that one may be dead.
  CHECK(reports(8s, cem, 70, false).empty());
  CHECK(bench.holder()->device == bob);
}

TEST_CASE("site lease: the same events give the same actions, and epochs only grow", "[policy]") {
  const auto run = [] {
    SiteLease lease({.lease = 5s}, 1);
    Actions all;
    std::uint64_t random = 7, epoch = 0;
    Instant now{};
    for (int i = 0; i < 5000; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      now += std::chrono::milliseconds((random >> 33) % 1500);
      const DeviceId who = device(static_cast<unsigned char>((random >> 40) % 6));
      const Bytes missing{static_cast<std::int64_t>((random >> 48) % 4)};
      SiteLease::Event event = SiteLease::Tick{};
      switch ((random >> 56) % 8) {
        case 0: event = SiteLease::Left{who}; break;
        case 1:
        case 2: event = SiteLease::Reported{who, missing}; break;
        case 3:
        case 4:
        case 5:
          if (const auto holders = lease.holders(); !holders.empty())
            event = SiteLease::Renewed{holders[0].device, holders[0].epoch, missing};
          break;
        case 6: event = SiteLease::Renewed{who, random % 50, missing}; break;
      }
      for (const auto& action : lease.on(event, now)) {
        if (const auto* granted = std::get_if<SiteLease::Granted>(&action)) {
          REQUIRE(granted->epoch > epoch);
          REQUIRE(granted->expires == now + 5s);
          epoch = granted->epoch;
        }
        all.push_back(action);
      }
    }
    REQUIRE(epoch > 100);
    return all;
  };
  CHECK(run() == run());
}
