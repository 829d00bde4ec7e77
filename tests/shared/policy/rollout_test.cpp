#include "shared/policy/rollout.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

DeviceId device(int n) {
  std::array<std::byte, 16> bytes{};
  bytes[14] = static_cast<std::byte>(n >> 8);
  bytes[15] = static_cast<std::byte>(n & 255);
  return DeviceId(bytes);
}
Instant at(Duration since_start) { return Instant{since_start}; }

using Actions = std::vector<Rollout::Action>;
using Phase = Rollout::Phase;
using Waits = Rollout::Waits;
using Reason = Rollout::StopReason;

// Speaks to the policy in time since the test began; wave w has devices 10 * w, 10 * w + 1...
struct Bench {
  Rollout rollout;

  explicit Bench(std::vector<WaveGates> gates) : rollout({}, std::move(gates)) {}

  static std::vector<Rollout::Member> members(int wave, int count) {
    std::vector<Rollout::Member> list;
    for (int i = 0; i < count; ++i)
      list.push_back({.device = device(10 * wave + i), .site = "s" + std::to_string(i / 2)});
    return list;
  }
  Actions starts(Duration t) { return rollout.on(Rollout::Start{}, at(t)); }
  Actions begun(Duration t, std::uint32_t wave, int count) {
    return rollout.on(Rollout::Begun{wave, members(static_cast<int>(wave), count)}, at(t));
  }
  Actions staged(Duration t, std::uint32_t wave, int count) {
    return rollout.on(Rollout::Staged{wave, members(static_cast<int>(wave), count)}, at(t));
  }
  Actions succeeds(Duration t, int n) { return rollout.on(Rollout::Succeeded{device(n)}, at(t)); }
  Actions fails(Duration t, int n) { return rollout.on(Rollout::Failed{device(n)}, at(t)); }
  Actions holds(Duration t, int n, bool holds = true) {
    return rollout.on(Rollout::Holds{device(n), holds}, at(t));
  }
  Actions leaves(Duration t, int n) { return rollout.on(Rollout::Left{device(n)}, at(t)); }
  Actions passes(Duration t) { return rollout.on(Rollout::Tick{}, at(t)); }
};

const WaveGates kAll{.success_percent = 100, .failure_percent = 0};

}  // namespace

TEST_CASE("rollout: nothing happens before it is started", "[policy]") {
  Bench bench({kAll});
  CHECK(bench.passes(0s).empty());
  CHECK(bench.rollout.phase() == Phase::planned);
  CHECK(bench.rollout.waits_for().what == Waits::start);
  CHECK_FALSE(bench.rollout.next_change());
}

TEST_CASE("rollout: one wave begins, passes when all have it, and ends the rollout", "[policy]") {
  Bench bench({kAll});
  CHECK(bench.starts(0s) == Actions{Rollout::Begin{0}});
  CHECK(bench.rollout.waits_for().what == Waits::assignment);
  CHECK(bench.begun(1s, 0, 2).empty());
  CHECK(bench.succeeds(2s, 0).empty());
  const auto wait = bench.rollout.waits_for();
  CHECK(wait.what == Waits::success);
  CHECK((wait.have == 1 && wait.need == 2 && wait.all == 2));
  CHECK(bench.succeeds(3s, 1) ==
        Actions{Rollout::Passed{0}, Rollout::Ended{Phase::done, Reason::none, 0}});
  CHECK(bench.rollout.phase() == Phase::done);
}

TEST_CASE("rollout: the gates between two waves", "[policy]") {
  struct Row {
    const char* what;
    int success, failure, devices, succeeded, failed;
    Phase phase;
    std::uint32_t current;
  };
  const Row rows[] = {
      {"all of them are needed", 100, 0, 10, 9, 0, Phase::running, 0},
      {"all of them are there", 100, 0, 10, 10, 0, Phase::running, 1},
      {"a share is rounded up", 90, 100, 5, 4, 0, Phase::running, 0},
      {"a share of ten", 90, 100, 10, 9, 0, Phase::running, 1},
      {"none needed", 0, 100, 10, 0, 0, Phase::running, 1},
      {"as many failures as may be", 50, 20, 10, 4, 2, Phase::running, 0},
      {"one failure too many", 50, 20, 10, 4, 3, Phase::stopped, 0},
      {"no failure is allowed", 50, 0, 10, 4, 1, Phase::stopped, 0},
      {"all may fail, and nothing is reached", 50, 100, 4, 0, 4, Phase::running, 0},
      {"a failure beside enough successes", 50, 10, 10, 5, 1, Phase::running, 1},
      {"a wave without devices", 100, 0, 0, 0, 0, Phase::running, 1},
      {"one device of one", 90, 5, 1, 1, 0, Phase::running, 1},
      {"one failure of one", 90, 99, 1, 0, 1, Phase::stopped, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Bench bench({{.success_percent = row.success, .failure_percent = row.failure}, kAll});
    bench.starts(0s);
    bench.begun(0s, 0, row.devices);
    // Failures first: they must not be hidden by a wave that passed before them.
    for (int i = 0; i < row.failed; ++i) bench.fails(1s, i);
    for (int i = 0; i < row.succeeded; ++i) bench.succeeds(1s, row.failed + i);
    CHECK(bench.rollout.phase() == row.phase);
    CHECK(bench.rollout.current() == row.current);
  }
}

TEST_CASE(
    "rollout: a device that failed may still succeed, and one that went back counts as failed",
    "[policy]") {
  Bench bench({{.success_percent = 100, .failure_percent = 50}, kAll});
  bench.starts(0s);
  bench.begun(0s, 0, 2);
  bench.fails(1s, 0);
  CHECK(bench.rollout.counts(0).failed == 1);
  bench.succeeds(2s, 0);
  CHECK(bench.rollout.counts(0).failed == 0);
  CHECK(bench.rollout.counts(0).succeeded == 1);
  CHECK(bench.succeeds(3s, 1).back() == Rollout::Action{Rollout::Begin{1}});
  // Wave 0 has passed; its gate for failures still holds.
  bench.fails(4s, 0);
  CHECK(bench.rollout.phase() == Phase::running);
  CHECK(bench.fails(5s, 1) == Actions{Rollout::Ended{Phase::stopped, Reason::failures, 0}});
}

TEST_CASE("rollout: success must last for the soak time", "[policy]") {
  Bench bench({{.success_percent = 50, .failure_percent = 50, .soak = 60s}, kAll});
  bench.starts(0s);
  bench.begun(0s, 0, 2);
  CHECK(bench.succeeds(10s, 0).empty());
  CHECK(bench.rollout.waits_for().what == Waits::soak);
  CHECK(bench.rollout.waits_for().until == at(70s));
  CHECK(bench.rollout.next_change() == at(70s));
  SECTION("it lasts") {
    CHECK(bench.passes(70s - 1ns).empty());
    CHECK(bench.passes(70s) == Actions{Rollout::Passed{0}, Rollout::Begin{1}});
  }
  SECTION("a break starts it anew") {
    bench.fails(60s, 0);
    CHECK(bench.rollout.waits_for().what == Waits::success);
    CHECK(bench.passes(70s).empty());
    bench.succeeds(80s, 1);
    CHECK(bench.rollout.waits_for().until == at(140s));
  }
  SECTION("it runs on while the rollout is paused") {
    bench.rollout.on(Rollout::Pause{}, at(20s));
    CHECK_FALSE(bench.rollout.next_change());
    CHECK(bench.passes(100s).empty());
    CHECK(bench.rollout.on(Rollout::Resume{}, at(101s)) ==
          Actions{Rollout::Passed{0}, Rollout::Begin{1}});
  }
}

TEST_CASE("rollout: a warm wave is staged while the one in front of it runs", "[policy]") {
  Bench bench({kAll, {.warm_percent = 50, .success_percent = 100, .failure_percent = 0}});
  CHECK(bench.starts(0s) == Actions{Rollout::Begin{0}});
  CHECK(bench.begun(1s, 0, 1) == Actions{Rollout::Stage{1}});
  CHECK(bench.staged(2s, 1, 6).empty());  // Three sites of two devices.
  CHECK(bench.rollout.counts(1).sites == 3);
  CHECK(bench.succeeds(3s, 0) == Actions{Rollout::Passed{0}});
  const auto wait = bench.rollout.waits_for();
  CHECK(wait.what == Waits::warm);
  CHECK((wait.have == 0 && wait.need == 2 && wait.all == 3));
  CHECK(bench.holds(4s, 10).empty());
  CHECK(bench.holds(5s, 11).empty());  // The same site.
  CHECK(bench.rollout.counts(1).warm_sites == 1);
  CHECK(bench.holds(6s, 14) == Actions{Rollout::Begin{1}});
  bench.begun(7s, 1, 6);
  CHECK(bench.rollout.counts(1).devices == 6);
}

TEST_CASE("rollout: the first wave may be warm too", "[policy]") {
  Bench bench(std::vector<WaveGates>{{.warm_percent = 100}});
  CHECK(bench.starts(0s) == Actions{Rollout::Stage{0}});
  bench.staged(1s, 0, 2);
  CHECK(bench.holds(2s, 0) == Actions{Rollout::Begin{0}});
}

TEST_CASE("rollout: a site whose only holder lost the layers or left is not warm", "[policy]") {
  Bench bench(std::vector<WaveGates>{{.warm_percent = 100}});
  bench.starts(0s);
  bench.staged(1s, 0, 4);
  bench.holds(2s, 0);
  bench.holds(2s, 1);
  bench.holds(3s, 0, false);
  CHECK(bench.rollout.counts(0).warm_sites == 1);
  bench.leaves(4s, 1);
  CHECK(bench.rollout.counts(0).warm_sites == 0);
  CHECK(bench.rollout.counts(0).sites == 2);
  bench.leaves(5s, 0);
  CHECK(bench.rollout.counts(0).sites == 1);
  CHECK(bench.holds(6s, 2) == Actions{Rollout::Begin{0}});
}

TEST_CASE("rollout: what was not answered is asked for again", "[policy]") {
  Bench bench({kAll});
  bench.starts(0s);
  CHECK(bench.rollout.next_change() == at(30s));
  CHECK(bench.passes(29s).empty());
  CHECK(bench.passes(30s) == Actions{Rollout::Begin{0}});
  bench.begun(31s, 0, 1);
  CHECK_FALSE(bench.rollout.next_change());
}

TEST_CASE("rollout: paused, no wave begins, and a resumed one goes on where it was", "[policy]") {
  Bench bench({kAll, kAll});
  bench.starts(0s);
  bench.begun(0s, 0, 1);
  bench.rollout.on(Rollout::Pause{}, at(1s));
  CHECK(bench.succeeds(2s, 0).empty());
  CHECK(bench.rollout.waits_for().what == Waits::resume);
  CHECK(bench.rollout.on(Rollout::Resume{}, at(3s)) ==
        Actions{Rollout::Passed{0}, Rollout::Begin{1}});
}

TEST_CASE("rollout: failures stop one that is paused as well", "[policy]") {
  Bench bench({kAll, kAll});
  bench.starts(0s);
  bench.begun(0s, 0, 2);
  bench.rollout.on(Rollout::Pause{}, at(1s));
  CHECK(bench.fails(2s, 0) == Actions{Rollout::Ended{Phase::stopped, Reason::failures, 0}});
}

TEST_CASE("rollout: stopped is final", "[policy]") {
  Bench bench({kAll, kAll});
  bench.starts(0s);
  bench.begun(0s, 0, 1);
  CHECK(bench.rollout.on(Rollout::Stop{}, at(1s)) ==
        Actions{Rollout::Ended{Phase::stopped, Reason::administrator, 0}});
  CHECK(bench.succeeds(2s, 0).empty());
  CHECK(bench.starts(3s).empty());
  CHECK(bench.rollout.on(Rollout::Resume{}, at(4s)).empty());
  CHECK(bench.rollout.on(Rollout::Stop{}, at(5s)).empty());
  CHECK_FALSE(bench.rollout.next_change());
  CHECK(bench.rollout.waits_for().what == Waits::nothing);
}

TEST_CASE("rollout: one that cannot be assigned stops", "[policy]") {
  Bench bench({kAll});
  bench.starts(0s);
  CHECK(bench.rollout.on(Rollout::Unassignable{}, at(0s)) ==
        Actions{Rollout::Ended{Phase::stopped, Reason::unassignable, 0}});
}

TEST_CASE("rollout: a device is in the wave that named it first; one that left counts no more",
          "[policy]") {
  Bench bench({{.success_percent = 100, .failure_percent = 40}, kAll});
  bench.starts(0s);
  bench.begun(0s, 0, 3);
  CHECK(bench.rollout.wave_of(device(2)) == 0u);
  CHECK_FALSE(bench.rollout.wave_of(device(3)));
  bench.succeeds(1s, 0);
  bench.fails(1s, 1);
  SECTION("the gate is reached without it") {
    bench.succeeds(2s, 1);
    CHECK(bench.leaves(3s, 2) == Actions{Rollout::Passed{0}, Rollout::Begin{1}});
    bench.rollout.on(Rollout::Begun{1, {{device(0), "s0"}, {device(10), "s0"}}}, at(4s));
    CHECK(bench.rollout.counts(1).devices == 1);
    CHECK(bench.rollout.wave_of(device(0)) == 0u);
  }
  SECTION("the share of failures rises without it") {
    CHECK(bench.leaves(2s, 2) == Actions{Rollout::Ended{Phase::stopped, Reason::failures, 0}});
  }
  SECTION("a stranger changes nothing") {
    CHECK(bench.leaves(2s, 77).empty());
    CHECK(bench.fails(2s, 77).empty());
    CHECK(bench.rollout.counts(0).devices == 3);
  }
}

TEST_CASE("rollout: it goes on after a restart", "[policy]") {
  const std::vector<WaveGates> gates{{.success_percent = 100, .failure_percent = 0, .soak = 60s},
                                     kAll};
  SECTION("in a soak, which is not cut short") {
    Rollout::Memory memory{.phase = Phase::running, .success_since = at(100s), .waves = {}};
    memory.waves = {{Rollout::Step::begun, {{device(0), "s", Rollout::Outcome::succeeded}}}, {}};
    Rollout rollout({}, gates, memory);
    CHECK(rollout.on(Rollout::Tick{}, at(120s)).empty());
    CHECK(rollout.next_change() == at(160s));
    CHECK(rollout.on(Rollout::Tick{}, at(160s)) == Actions{Rollout::Passed{0}, Rollout::Begin{1}});
  }
  SECTION("with a wave that was to begin") {
    Rollout::Memory memory{.phase = Phase::running, .current = 1, .success_since = {}, .waves = {}};
    memory.waves = {{Rollout::Step::begun, {{device(0), "s", Rollout::Outcome::succeeded}}}, {}};
    Rollout rollout({}, gates, memory);
    CHECK(rollout.on(Rollout::Tick{}, at(1s)) == Actions{Rollout::Begin{1}});
  }
}

// Plays random events against a rollout; the carrying out is random too. Checks what must always
// hold from outside, with counts kept the slow way.
TEST_CASE("rollout: waves begin in order behind open gates, whatever happens", "[policy]") {
  constexpr int kWaves = 4, kDevices = 24;
  const auto run = [](std::uint64_t seed) {
    std::uint64_t random = seed;
    const auto next = [&random](std::uint64_t below) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      return (random >> 33) % below;
    };
    std::vector<WaveGates> gates;
    for (int i = 0; i < kWaves; ++i)
      gates.push_back({.warm_percent = static_cast<int>(next(3)) * 40,
                       .success_percent = static_cast<int>(50 + next(51)),
                       .failure_percent = static_cast<int>(next(60)),
                       .soak = std::chrono::seconds{next(40)}});
    Rollout rollout({}, gates);
    std::vector<std::string> trace;
    std::map<int, int> outcome;  // Of members: 0 open, 1 succeeded, 2 failed.
    std::set<int> gone;
    std::vector<int> begun_at(kWaves, -1);
    int order = 0, passed = 0;
    Instant now{};
    const auto all_of = [&](int wave) {
      std::vector<int> list;
      for (int n = wave * kDevices / kWaves; n < (wave + 1) * kDevices / kWaves; ++n)
        if (!gone.contains(n)) list.push_back(n);
      return list;
    };
    std::vector<Rollout::Action> todo;
    for (int i = 0; i < 4000; ++i) {
      now += std::chrono::milliseconds(next(3000));
      const int n = static_cast<int>(next(kDevices));
      const bool member = rollout.wave_of(device(n)).has_value();
      Rollout::Event event = Rollout::Tick{};
      switch (next(40)) {
        case 0: event = Rollout::Pause{}; break;
        case 1:
        case 2: event = Rollout::Resume{}; break;
        case 3: event = Rollout::Start{}; break;
        case 4:
          if (next(20) == 0) event = Rollout::Stop{};
          break;
        case 5:
          if (next(8) == 0 && member) {
            event = Rollout::Left{device(n)};
            gone.insert(n);
            outcome.erase(n);
          }
          break;
        case 6:
          if (next(6) == 0) {
            event = Rollout::Failed{device(n)};
            if (member) outcome[n] = 2;
          }
          break;
        case 7:
        case 8:
        case 9: event = Rollout::Holds{device(n), next(8) != 0}; break;
        default:
          if (!todo.empty() && next(4) != 0) {  // Some answers are lost.
            std::vector<Rollout::Member> members;
            const auto answer = [&](std::uint32_t wave) {
              for (const int m : all_of(static_cast<int>(wave))) {
                members.push_back({device(m), "s" + std::to_string(m / 3)});
                outcome.try_emplace(m, 0);
              }
              return wave;
            };
            if (const auto* stage = std::get_if<Rollout::Stage>(&todo.back()))
              event = Rollout::Staged{answer(stage->wave), members};
            if (const auto* begin = std::get_if<Rollout::Begin>(&todo.back()))
              event = Rollout::Begun{answer(begin->wave), members};
          } else if (next(2) == 0) {
            event = Rollout::Succeeded{device(n)};
            if (member) outcome[n] = 1;
          }
          todo.clear();
      }
      const bool was_final = rollout.phase() == Phase::stopped || rollout.phase() == Phase::done;
      const auto actions = rollout.on(event, now);
      REQUIRE((!was_final || actions.empty()));
      for (const auto& action : actions) {
        trace.push_back(std::to_string(action.index()) + "@" +
                        std::to_string(now.time_since_epoch().count()));
        if (const auto* begin = std::get_if<Rollout::Begin>(&action)) {
          REQUIRE(static_cast<int>(begin->wave) == passed);
          if (begun_at[begin->wave] < 0) begun_at[begin->wave] = order++;
          todo = {action};
        }
        if (std::holds_alternative<Rollout::Stage>(action)) todo = {action};
        if (const auto* gate = std::get_if<Rollout::Passed>(&action)) {
          REQUIRE(static_cast<int>(gate->wave) == passed);
          const auto devices = all_of(passed);
          std::size_t succeeded = 0, failed = 0;
          for (const int m : devices) {
            succeeded += outcome[m] == 1;
            failed += outcome[m] == 2;
          }
          REQUIRE(succeeded * 100 >=
                  devices.size() * static_cast<std::size_t>(gates[gate->wave].success_percent));
          REQUIRE(failed * 100 <=
                  devices.size() * static_cast<std::size_t>(gates[gate->wave].failure_percent));
          ++passed;
        }
      }
      for (std::uint32_t w = 0; w < kWaves; ++w) {
        std::int64_t succeeded = 0, failed = 0;
        for (const int m : all_of(static_cast<int>(w))) {
          succeeded += outcome.contains(m) && outcome[m] == 1;
          failed += outcome.contains(m) && outcome[m] == 2;
        }
        REQUIRE(rollout.counts(w).succeeded == succeeded);
        REQUIRE(rollout.counts(w).failed == failed);
      }
    }
    return std::pair(trace, rollout.phase());
  };
  std::map<Phase, int> ends;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const auto first = run(seed);
    CHECK(first == run(seed));
    ++ends[first.second];
  }
  // The seeds reach both ends.
  CHECK(ends[Phase::done] > 5);
  CHECK(ends[Phase::stopped] > 5);
}

TEST_CASE("rollout: 100,000 sites cost no more than their number", "[policy]") {
  std::vector<Rollout::Member> members;
  for (int i = 0; i < 100'000; ++i) {
    std::array<std::byte, 16> bytes{};
    for (int b = 0; b < 4; ++b) bytes[12 + b] = static_cast<std::byte>(i >> (24 - 8 * b));
    members.push_back({DeviceId(bytes), "site" + std::to_string(i)});
  }
  Rollout rollout({}, {{.warm_percent = 100, .success_percent = 100, .failure_percent = 0}});
  rollout.on(Rollout::Start{}, at(0s));
  rollout.on(Rollout::Staged{0, members}, at(1s));
  for (const auto& member : members) rollout.on(Rollout::Holds{member.device}, at(2s));
  rollout.on(Rollout::Begun{0, {}}, at(3s));
  for (const auto& member : members) rollout.on(Rollout::Succeeded{member.device}, at(4s));
  CHECK(rollout.phase() == Phase::done);
}
