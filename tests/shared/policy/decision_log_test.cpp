#include "shared/policy/decision_log.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "shared/policy/decision_replay.hpp"

using namespace lamina;
using namespace lamina::policy;

namespace {

// Runs machines on random inputs and keeps what they recorded.
struct Run {
  explicit Run(std::uint64_t seed) : random(seed) {}

  std::mt19937_64 random;
  std::vector<std::string> lines;
  DecisionLog log{[this](std::string_view line) { lines.emplace_back(line); }};
  Instant now{};

  std::uint64_t below(std::uint64_t bound) { return random() % bound; }
  void wait() { now += std::chrono::milliseconds{below(3000)}; }
  DeviceId device() {
    std::array<std::byte, 16> bytes{};
    bytes[0] = static_cast<std::byte>(1 + below(5));
    return DeviceId(bytes);
  }

  void site_lease(const std::string& name, int steps) {
    const std::uint64_t epoch = 1 + below(1000);
    SiteLease lease({}, epoch);
    log.begin_site_lease(name, {}, epoch);
    for (; steps > 0; --steps) {
      wait();
      SiteLease::Event event = SiteLease::Tick{};
      const Bytes missing{static_cast<std::int64_t>(below(4) * 1000)};
      switch (below(5)) {
        case 0: event = SiteLease::Reported{device(), missing, below(3) == 0}; break;
        case 1:
          if (const auto holders = lease.holders(); !holders.empty()) {
            const auto& holder = holders[below(holders.size())];
            const Bytes left{static_cast<std::int64_t>(below(2) * 100'000'000)};
            event = SiteLease::Renewed{holder.device, holder.epoch - below(2), missing,
                                       below(2) == 0 ? std::nullopt : std::optional(left)};
          }
          break;
        case 2: event = SiteLease::Left{device()}; break;
        case 3: {
          SiteLease::Configured configured{.reflectors = static_cast<int>(1 + below(4))};
          for (auto named = below(3); named > 0; --named) configured.named.insert(device());
          event = configured;
          break;
        }
        default: break;
      }
      log.decided(name, event, now, lease.on(event, now));
    }
  }

  void lease_holder(int steps) {
    LeaseHolder holder;
    log.begin_lease_holder("wan");
    for (; steps > 0; --steps) {
      wait();
      LeaseHolder::Event event = LeaseHolder::Tick{};
      if (const auto choice = below(4); choice < 2)
        event = LeaseHolder::Led{below(10), now + std::chrono::seconds{below(6)}};
      else if (choice == 2)
        event = LeaseHolder::Resigned{};
      log.decided("wan", event, now, holder.on(event, now));
    }
  }

  WanPieces::Pieces some_pieces() {
    WanPieces::Pieces pieces;
    for (std::uint64_t pack = below(4); pack < 4; ++pack) {
      std::array<std::byte, 32> bytes{};
      bytes[31] = static_cast<std::byte>(pack);
      std::vector<bool> bits(9 + pack);
      for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = below(2) == 1;
      pieces.emplace(PackId(bytes), std::move(bits));
    }
    return pieces;
  }
  void wan_pieces(int steps) {
    WanPieces machine;
    log.begin_wan_pieces("wan", {});
    for (; steps > 0; --steps) {
      wait();
      if (below(3) == 0) {
        const SiteContact contact{below(9), below(9), below(9),
                                  Duration{std::chrono::seconds{below(20)}}};
        log.decided("wan", contact, now, may_fetch(contact));
      }
      const auto missing = some_pieces();
      const auto offered = some_pieces();
      log.decided("wan", missing, offered, now, machine.choose(missing, offered, now));
    }
  }

  void wan_transport(int steps) {
    WanTransport::Limits limits;
    if (below(4) == 0) limits.only = WanTransport::Kind::https;
    WanTransport machine(limits);
    log.begin_wan_transport("wan", limits);
    for (; steps > 0; --steps) {
      wait();
      if (below(10) == 0) {
        machine.begin(now);
        log.began("wan", now);
      }
      if (below(8) == 0) {
        std::optional<WanTransport::Kind> only;
        if (below(2) == 0)
          only = below(2) == 0 ? WanTransport::Kind::swarm : WanTransport::Kind::https;
        machine.rule(only);
        log.ruled("wan", only, now);
      }
      const WanTransport::Seen seen{below(3) > 0, below(3) == 0, below(4) > 0};
      log.decided("wan", seen, now, machine.on(seen, now));
    }
  }

  void shut_out(int steps) {
    ShutOut machine;
    log.begin_shut_out("lan", {});
    for (; steps > 0; --steps) {
      now += std::chrono::seconds{below(120)};
      const std::string address = "10.0.0." + std::to_string(below(3));
      log.caught("lan", address, now, machine.caught(address, now));
    }
  }

  // A line with a queue that comes and goes, and a loss now and then.
  void wan_pacing(int steps) {
    WanPacing machine;
    log.begin_wan_pacing("192.0.2.7");
    WanPacing::Seen seen{.rtt_min = std::chrono::milliseconds{40}};
    Duration queue{};
    for (; steps > 0; --steps) {
      now += std::chrono::milliseconds{100};
      queue = std::max(Duration{}, queue + std::chrono::microseconds{below(20'000)} -
                                       std::chrono::microseconds{9'900});
      seen.rtt = seen.rtt_min + queue;
      seen.acked += Bytes{static_cast<std::int64_t>(below(500'000))};
      seen.lost += below(20) == 0;
      seen.is_among_ours = below(30) == 0;
      seen.jitter = std::chrono::milliseconds{below(4)};
      seen.is_held = below(20) == 0;
      seen.is_idle = below(20) == 0;
      log.decided("192.0.2.7", seen, now, machine.on(seen, now));
    }
  }

  void wan_budget(int steps) {
    log.begin_wan_budget("device", std::chrono::seconds{10});
    for (; steps > 0; --steps) {
      wait();
      const WanBudget budget{static_cast<WanBudget::Kind>(below(3)),
                             std::chrono::minutes{below(90)},
                             Bytes{static_cast<std::int64_t>(below(1 << 20))}};
      const WanBudgetNeed need{below(4) > 0, below(3) == 0, now - std::chrono::hours{below(90)},
                               now - std::chrono::milliseconds{below(900)},
                               Bytes{static_cast<std::int64_t>(below(1 << 20))}};
      for (int i = 0; i < 2; ++i)  // The second one is not written.
        log.decided("device", budget, need, now,
                    may_spend_from(budget, need, std::chrono::seconds{10}));
    }
  }

  void eligibility(int steps) {
    const Eligibility::Rules rules{.on_battery = below(2) == 0, .on_wireless = below(2) == 0};
    Eligibility machine(rules);
    log.begin_eligibility("device", rules);
    const auto fact = [&]() -> std::optional<bool> {
      const auto choice = below(5);
      return choice > 1 ? std::nullopt : std::optional(choice == 1);
    };
    for (; steps > 0; --steps) {
      now += std::chrono::seconds{10};
      Eligibility::Facts facts{.user_allows = below(20) > 0,
                               .on_battery = fact(),
                               .metered = fact(),
                               .wireless = fact()};
      if (below(5) > 0) facts.cpu_percent = static_cast<int>(60 + below(41));
      if (below(3) > 0) facts.disk_free = Bytes{static_cast<std::int64_t>(below(9) << 28)};
      log.decided("device", facts, now, machine.look(facts, now));
    }
  }
};

// The number of the first line that fails, from 1 on; 0: none.
std::size_t first_failure(const std::vector<std::string>& lines, ErrorKind* kind = nullptr) {
  DecisionReplay replay;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto done = replay.take(lines[i]);
    if (done) continue;
    if (kind) *kind = done.error().kind();
    return i + 1;
  }
  return 0;
}

}  // namespace

TEST_CASE("decision log: what was recorded is decided again, bit for bit", "[policy]") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    Run run(seed);
    run.site_lease("north", 100);
    run.lease_holder(50);
    run.wan_pieces(50);
    run.wan_transport(80);
    run.shut_out(30);
    run.wan_pacing(300);
    run.wan_budget(60);
    run.eligibility(80);
    run.now = {};
    run.site_lease("south", 100);
    run.site_lease("north", 20);  // The origin was restarted.
    DecisionReplay replay;
    for (const std::string& line : run.lines) {
      const auto done = replay.take(line);
      if (!done) FAIL(done.error().text());
    }
    CHECK(replay.decisions() > 100);
  }
}

TEST_CASE("decision log: every changed decision is found, at its line", "[policy]") {
  Run run(7);
  run.site_lease("north", 60);
  run.lease_holder(30);
  run.wan_pieces(10);
  run.wan_transport(60);
  run.shut_out(40);
  run.wan_pacing(60);
  run.wan_budget(20);
  run.eligibility(30);
  std::map<std::string, std::size_t> changed;  // By machine.
  for (std::size_t i = 0; i < run.lines.size(); ++i) {
    const std::string line = run.lines[i];
    const auto colon = line.find(" : ");
    if (colon == std::string::npos) continue;
    INFO(line);
    ErrorKind kind{};
    char& last = run.lines[i].back();
    last = last == '1' ? '2' : '1';
    CHECK(first_failure(run.lines, &kind) == i + 1);
    CHECK(kind == ErrorKind::corrupt);
    run.lines[i] = line.substr(0, colon + 2);  // Nothing was decided.
    CHECK(first_failure(run.lines, &kind) == i + 1);
    CHECK(kind == ErrorKind::corrupt);
    run.lines[i] = line;
    ++changed[line.substr(0, line.find(' '))];
  }
  CHECK(changed.size() == 8);
  for (const auto& [machine, count] : changed) {
    INFO(machine);
    CHECK(count >= 3);
  }
}

TEST_CASE("decision log: every changed byte of a decision is found", "[policy]") {
  Run run(11);
  run.wan_transport(12);
  run.shut_out(4);
  run.wan_pacing(12);
  run.wan_budget(20);
  run.eligibility(8);
  std::size_t changed = 0;
  for (std::size_t i = 0; i < run.lines.size(); ++i) {
    const auto colon = run.lines[i].find(" :");
    if (colon == std::string::npos) continue;
    for (std::size_t at = colon; at < run.lines[i].size(); ++at) {
      const char before = std::exchange(run.lines[i][at], '#');
      INFO(run.lines[i]);
      CHECK(first_failure(run.lines) == i + 1);
      run.lines[i][at] = before;
      ++changed;
    }
  }
  CHECK(changed > 200);
}

TEST_CASE("decision log: a record of version 1 is decided again", "[policy]") {
  const std::string device = "0" + std::string(30, 'a') + "1";
  const std::vector<std::string> lines{"lamina-decisions 1", "site-lease north begin 5000000000 17",
                                       "site-lease north at 1200 reported " + device +
                                           " 4096 : granted " + device + " 17 5000001200",
                                       "lease-holder wan begin",
                                       "lease-holder wan at 1300 led 17 5000001200 : open 17"};
  CHECK(first_failure(lines) == 0);
}

TEST_CASE("decision log: a lost input is found", "[policy]") {
  Run run(3);
  run.site_lease("north", 60);
  const auto granted = std::ranges::find_if(
      run.lines, [](const auto& line) { return line.find(": granted") != std::string::npos; });
  REQUIRE(granted != run.lines.end());
  const auto number = static_cast<std::size_t>(granted - run.lines.begin()) + 1;
  run.lines.erase(granted);
  CHECK(first_failure(run.lines) >= number);
}

TEST_CASE("decision log: what is no record is said so", "[policy]") {
  const std::string id(32, 'a');
  const std::string pack(64, 'b');
  const std::string cases[] = {
      "",
      "site-lease",
      "site-lease north begin 0 1",
      "site-lease north begin 5 1 1",
      "site-lease north begin 99999999999999999999 1",
      "no-machine x begin",
      "site-lease south at 1 tick :",
      "site-lease north at x tick :",
      "site-lease north at 1 reported " + id + " -1 :",
      "site-lease north at 1 reported aa 1 :",
      "site-lease north at 1 tick",
      "lease-holder wan at 5 led 1 :",
      "lease-holder wan begin 1",
      "wan-pieces wan at 1 missing " + pack + "=ff/9 offered : ",
      "wan-pieces wan at 1 missing " + pack + "=ff/99999999999 offered : ",
      "wan-pieces wan at 1 missing -" + pack + " offered :",
      "wan-pieces wan at 1 missing",
      "wan-transport wan begin 1 only by-mail",
      "wan-transport wan at 1 seen offered known :",
      "wan-transport wan at 1 began",
      "wan-transport wan at 1 rule by-mail :",
      "shut-out lan begin 1",
      "shut-out lan at 1 caught :",
      "wan-pacing 10.0.0.1 begin 1",
      "wan-pacing 10.0.0.1 at 1 seen 1 1 99999999999999999 0 :",
      "wan-pacing 10.0.0.1 at 1 seen 1 1 5 -1 :",
      "wan-pacing 10.0.0.1 at 1 seen 1 1 4 :",
      "eligibility device begin may-serve 80 1",
      "eligibility device begin battery 80 1 1",
      "eligibility device at 1 facts allows cpu 1001 :",
      "eligibility device at 1 allows :",
  };
  for (const std::string& line : cases) {
    INFO(line);
    DecisionReplay replay;
    for (const char* first :
         {"lamina-decisions 1", "site-lease north begin 5 1", "lease-holder wan begin",
          "wan-pieces wan begin 1 1", "wan-transport wan begin 1", "shut-out lan begin 1 1",
          "wan-pacing 10.0.0.1 begin", "eligibility device begin may-serve 80 1 1"})
      REQUIRE(replay.take(first));
    const auto done = replay.take(line);
    REQUIRE_FALSE(done);
    CHECK(done.error().kind() == ErrorKind::invalid);
  }
  DecisionReplay replay;
  CHECK_FALSE(replay.take("lamina-decisions 3"));
}

TEST_CASE("decision log: a line whose bytes become fewer is refused, not computed with",
          "[policy]") {
  DecisionReplay replay;
  REQUIRE(replay.take("lamina-decisions 2"));
  REQUIRE(replay.take("wan-pacing 10.0.0.1 begin"));
  REQUIRE(replay.take("wan-pacing 10.0.0.1 at 1 seen 5 5 100 3 :"));
  const auto done = replay.take("wan-pacing 10.0.0.1 at 2 seen 5 5 99 3 :");
  REQUIRE_FALSE(done);
  CHECK(done.error().kind() == ErrorKind::invalid);
}

TEST_CASE("decision log: time that goes back is refused, not asserted", "[policy]") {
  DecisionReplay replay;
  REQUIRE(replay.take("lamina-decisions 1"));
  REQUIRE(replay.take("lease-holder wan begin"));
  REQUIRE(replay.take("lease-holder wan at 10 led 1 20 : open 1"));
  const auto done = replay.take("lease-holder wan at 9 resigned : close resigned");
  REQUIRE_FALSE(done);
  CHECK(done.error().kind() == ErrorKind::invalid);
}
