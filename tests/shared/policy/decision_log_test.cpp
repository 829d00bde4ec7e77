#include "shared/policy/decision_log.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

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
      const auto missing = some_pieces();
      const auto offered = some_pieces();
      log.decided("wan", missing, offered, now, machine.choose(missing, offered, now));
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
  std::size_t changed = 0;
  for (std::size_t i = 0; i < run.lines.size(); ++i) {
    auto lines = run.lines;
    const auto colon = lines[i].find(" : ");
    if (colon == std::string::npos) continue;
    char& last = lines[i].back();
    last = last == '1' ? '2' : '1';
    INFO(run.lines[i]);
    ErrorKind kind{};
    CHECK(first_failure(lines, &kind) == i + 1);
    CHECK(kind == ErrorKind::corrupt);
    ++changed;
  }
  CHECK(changed > 30);
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
  };
  for (const std::string& line : cases) {
    INFO(line);
    DecisionReplay replay;
    for (const char* first : {"lamina-decisions 1", "site-lease north begin 5 1",
                              "lease-holder wan begin", "wan-pieces wan begin 1"})
      REQUIRE(replay.take(first));
    const auto done = replay.take(line);
    REQUIRE_FALSE(done);
    CHECK(done.error().kind() == ErrorKind::invalid);
  }
  DecisionReplay replay;
  CHECK_FALSE(replay.take("lamina-decisions 2"));
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
