// Whole runs of small scenarios against what paper and pencil say.
#include <catch2/catch.hpp>

#include "sim/model/tcp.hpp"
#include "tests/sim/model/small_scenario.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace lamina::sim::testing;
using namespace std::chrono_literals;

namespace {

Approx exactly(double seconds) { return Approx(seconds).epsilon(1e-9); }

double ended(const RunResult& result) { return seconds_of(result.totals.finished); }

std::int64_t by(const RunResult& result, Source source) {
  return bytes_of(result)[static_cast<std::size_t>(source)].count;
}

std::int64_t waited(const RunResult& result, Limit limit) {
  return waiting_of(result)[static_cast<std::size_t>(limit)];
}

constexpr double kWan = 2.5e6;  // Bytes a second, of small_scenario().
constexpr double kLan = 125e6;
constexpr double kBytes = 1e9;

}  // namespace

TEST_CASE("run: direct, N devices fetch F over W in N F / W") {
  Scenario scenario = small_scenario(3, 10);
  scenario.rollout.mode = Mode::direct;
  const RunResult result = run_alone(scenario);
  CHECK(ended(result) == exactly(10 * kBytes / kWan));
  CHECK(result.totals.wan_down.count == 30'000'000'000);
  CHECK(by(result, Source::origin_by_budget) == 30'000'000'000);
  CHECK(waited(result, Limit::wan) == Approx(30 * 4000 * 1e3));
}

TEST_CASE("run: with a reflector, F / W for all, and each byte crosses the line once") {
  Scenario scenario = small_scenario(2, 10);
  scenario.rollout.mode = Mode::reflector;
  const RunResult result = run_alone(scenario);
  CHECK(ended(result) == exactly(kBytes / kWan));
  CHECK(result.totals.wan_down.count == 2'000'000'000);
  CHECK(by(result, Source::origin_by_lease) == 2'000'000'000);
  CHECK(by(result, Source::reflector) == Approx(2 * 9 * 1e9));
  CHECK(waited(result, Limit::wan) == Approx(20 * 400 * 1e3));
}

TEST_CASE("run: with a reflector whose port is the bottleneck, F / W and the tail in the LAN") {
  Scenario scenario = small_scenario(1, 101);
  scenario.rollout.mode = Mode::reflector;
  scenario.sites[0].lan = 1000_Mbit;
  scenario.sites[0].wan_down = 100_Mbit;  // 12.5 MB/s in, 1.25 MB/s for each of a hundred.
  const RunResult result = run_alone(scenario);
  CHECK(ended(result) == exactly(100 * kBytes / kLan));
  // The reflector itself was done when all was fetched.
  CHECK(seconds_of(result.waves[0].curve[1].at) == exactly(kBytes / 12.5e6));
}

TEST_CASE("run: a swarm ends at Kumar and Ross's bound when the line, or a port, is the least") {
  // T >= max(F / W, F / d, N F / (W + N u)).
  for (const auto& [devices, wan, lan] :
       {std::tuple(10, 20_Mbit, 1000_Mbit), std::tuple(100, 100_Mbit, 100_Mbit),
        std::tuple(50, 80_Mbit, 100_Mbit)}) {
    Scenario scenario = small_scenario(1, devices);
    scenario.sites[0].wan_down = wan;
    scenario.sites[0].lan = lan;
    const double w = static_cast<double>(wan.bits_per_second) / 8;
    const double u = static_cast<double>(lan.bits_per_second) / 8;
    const double n = devices;
    const double bound = std::max({kBytes / w, kBytes / u, n * kBytes / (w + n * u)});
    CHECK(ended(run_alone(scenario)) == exactly(bound));
  }
}

TEST_CASE("run: a swarm's efficiency stretches what the LAN takes, and nothing else") {
  Scenario scenario = small_scenario(1, 100);
  scenario.sites[0].wan_down = 1000_Mbit;
  scenario.sites[0].lan = 100_Mbit;
  scenario.swarm.efficiency = {{.peers = 100, .pieces = 1, .eta = 0.8}};
  // 99 devices take a copy each from 0.8 of a hundred ports.
  CHECK(ended(run_alone(scenario)) == exactly(99 * kBytes / (0.8 * 100 * 12.5e6)));
}

TEST_CASE("run: versions differ, and the union of what is missing crosses the line once") {
  Scenario scenario = small_scenario(1, 30);
  scenario.content.parts = {
      {"both", {100'000'000}}, {"one", {200'000'000}}, {"two", {300'000'000}}};
  scenario.content.versions = {{"one", 0b011}, {"two", 0b101}, {"new", 0}};
  scenario.mixes[0].kinds = {
      {.weight = 1, .version = 0}, {.weight = 1, .version = 1}, {.weight = 1, .version = 2}};
  const RunResult result = run_alone(scenario);
  CHECK(result.totals.wan_down.count == 600'000'000);
  CHECK(ended(result) == exactly(600e6 / kWan));
  // Those of version one had theirs when the first two parts were there.
  CHECK(result.waves[0].done == 30);
  CHECK(result.waves[0].curve[0].done == 10);
  REQUIRE(result.waves[0].completion.p50);
  CHECK(seconds_of(Instant(*result.waves[0].completion.p50)) == exactly(300e6 / kWan));
  CHECK(sum_of(bytes_of(result)).count == Approx(10 * 300e6 + 10 * 400e6));
}

TEST_CASE("run: a rule bounds a fetch, until it changes") {
  Scenario scenario = small_scenario(1, 5);
  scenario.run.start = {4 * 86'400'000'000'000};  // A Monday, 00:00 UTC.
  // 250 KB/s until 00:30.
  scenario.rules = {{.site = scenario.sites[0].name, .download_kb = 250, .start = 0, .end = 30}};
  const RunResult result = run_alone(scenario);
  CHECK(ended(result) == exactly(1800 + (kBytes - 1800 * 250e3) / kWan));
  CHECK(waited(result, Limit::rule) == Approx(5 * 1800 * 1e3));
  CHECK(waited(result, Limit::wan) == Approx(5 * 220 * 1e3));
}

TEST_CASE("run: the line shows a rule a moment after its minute") {
  Scenario scenario = small_scenario(1, 5);
  scenario.run.start = {4 * 86'400'000'000'000};
  scenario.rules = {{.download_kb = 250, .start = 1, .end = 30}};
  scenario.rollout.rules_take = 2s;
  CHECK(ended(run_alone(scenario)) ==
        exactly(62 + 1740 + (kBytes - 62 * kWan - 1740 * 250e3) / kWan));
}

TEST_CASE("run: a start takes its time in each mode, and counts from the wave's begin") {
  for (const Mode mode : kModes) {
    Scenario scenario = small_scenario(1, 5);
    scenario.rollout.mode = mode;
    const RunResult at_once = run_alone(scenario);
    scenario.rollout.start_takes = 3s;
    scenario.rollout.waves[0].start = 10s;
    const RunResult later = run_alone(scenario);
    CHECK(ended(later) == exactly(ended(at_once) + 13));
    CHECK(*later.waves[0].completion.p95 == *at_once.waves[0].completion.p95 + 3s);
  }
}

TEST_CASE("run: unlike shares let some end early, and move no byte") {
  Scenario scenario = small_scenario(1, 10);
  scenario.rollout.mode = Mode::direct;
  const RunResult alike = run_alone(scenario);
  scenario.tcp.unevenness = 0.4;
  const RunResult unlike = run_alone(scenario);
  CHECK(unlike.totals.wan_down.count == Approx(alike.totals.wan_down.count).epsilon(1e-9));
  CHECK(ended(unlike) == Approx(ended(alike)).epsilon(1e-9));
  // The first has 1 - 0.4 * 0.9 of its content to fetch while all ten do; the fifth ends after the
  // four with less, of 0.64, 0.72, 0.8 and 0.88, when six have got 0.96 each.
  CHECK(seconds_of(unlike.waves[0].curve[1].at) == Approx(0.64 * 10 * kBytes / kWan));
  CHECK(seconds_of(Instant(*unlike.waves[0].completion.p50)) ==
        Approx((0.64 + 0.72 + 0.8 + 0.88 + 6 * 0.96) * kBytes / kWan));
  // Where one fetches for the site nothing is shared.
  scenario.rollout.mode = Mode::swarm;
  CHECK(ended(run_alone(scenario)) == exactly(kBytes / kWan));
}

TEST_CASE("run: others' load leaves the rest of the line") {
  Scenario scenario = small_scenario(1, 5);
  Load load{.name = "office"};
  load.down.fill(0.5);
  scenario.loads = {load};
  scenario.sites[0].load = 0;
  CHECK(ended(run_alone(scenario)) == exactly(2 * kBytes / kWan));
}

TEST_CASE("run: loss bounds a fetch, several connections less, and BBR not at all") {
  Scenario scenario = small_scenario(1, 5);
  scenario.sites[0].rtt = 40ms;
  scenario.sites[0].loss = 0.01;
  const RunResult one = run_alone(scenario);
  CHECK(waited(one, Limit::tcp) > 0);
  scenario.tcp.connections = 2;
  const RunResult two = run_alone(scenario);
  CHECK(ended(two) == Approx(ended(one) / 2).epsilon(0.01));
  scenario.tcp.congestion = Congestion::bbr;
  const RunResult bbr = run_alone(scenario);
  CHECK(ended(bbr) == Approx(kBytes / kWan).margin(1));
  CHECK(waited(bbr, Limit::tcp) == 0);
}

TEST_CASE("run: devices that are away fetch when they are back, and nothing is fetched twice") {
  Scenario scenario = small_scenario(1, 20);
  scenario.run.start = {4 * 86'400'000'000'000};
  scenario.run.duration = 48h;
  scenario.content.parts[0].bytes = {20'000'000'000};  // 8000 s.
  scenario.presences[0].windows = {{.start = 8 * 60, .end = 17 * 60}};
  scenario.presences[0].spread = 20min;
  const RunResult result = run_alone(scenario);
  CHECK(result.waves[0].done == 20);
  // The last of them holds what was fetched; where they all leave is far behind the end.
  CHECK(result.totals.wan_down.count == Approx(20e9).epsilon(1e-6));
  CHECK(ended(result) > 8 * 3600 + 8000 - 20 * 60);
  CHECK(waited(result, Limit::offline) > 19 * 7 * 3600 * 1000);
}

TEST_CASE("run: a reflector dies, and only what nobody else has is fetched again") {
  Scenario scenario = small_scenario(1, 20);
  scenario.deaths = {{.share = 1, .at = Instant(200s), .takeover = 17s}};
  for (const Mode mode : {Mode::reflector, Mode::swarm}) {
    scenario.rollout.mode = mode;
    const RunResult result = run_alone(scenario);
    CHECK(result.waves[0].done == 19);
    // Everybody else had followed: the next one goes on where it ended.
    CHECK(result.totals.wan_down.count == Approx(1e9).epsilon(1e-6));
    CHECK(waited(result, Limit::reflector) == Approx(19 * 17 * 1e3).epsilon(1e-3));
    CHECK(seconds_of(result.waves[0].curve.back().at) == Approx(417).epsilon(1e-6));
  }
}

TEST_CASE("run: a reflector that dies alone takes with it what it had") {
  Scenario scenario = small_scenario(1, 2);
  scenario.mixes[0].kinds = {{.weight = 1}, {.weight = 1, .presence = 1}};
  Presence late{.name = "late", .windows = {{.start = 60, .end = 1440}}};
  scenario.presences.push_back(late);
  scenario.run.start = {4 * 86'400'000'000'000};
  scenario.content.parts[0].bytes = {10'000'000'000};  // 4000 s.
  scenario.deaths = {{.share = 1, .at = Instant(1000s), .takeover = 17s}};
  const RunResult result = run_alone(scenario);
  CHECK(result.waves[0].done == 1);
  CHECK(result.totals.wan_down.count == Approx(12.5e9).epsilon(1e-6));
}

TEST_CASE("run: a wave begins when the one before has passed its gates") {
  Scenario scenario = small_scenario(4, 10);
  Wave& first = scenario.rollout.waves[0];
  Wave second = first;
  first.members = {{.site = 0}, {.site = 1}};
  first.gates.success_percent = 90;
  first.gates.soak = 10min;
  second.name = "second";
  second.members = {{.site = 2}, {.site = 3}};
  scenario.rollout.waves.push_back(second);
  scenario.rollout.apply_takes = 60s;
  const RunResult result = run_alone(scenario);
  REQUIRE(result.waves[1].began);
  CHECK(seconds_of(result.waves[1].began) == Approx(400 + 60 + 600 + 0.001).epsilon(1e-9));
  CHECK(ended(result) == Approx(400 + 60 + 600 + 0.001 + 400 + 60).epsilon(1e-9));
}

TEST_CASE("run: too many failures stop the rollout, and the next wave never begins") {
  Scenario scenario = small_scenario(2, 50);
  scenario.rollout.waves[0].members = {{.site = 0}};
  scenario.rollout.waves[0].gates.failure_percent = 5;
  scenario.rollout.waves[0].gates.success_percent = 80;
  Wave second = scenario.rollout.waves[0];
  second.members = {{.site = 1}};
  scenario.rollout.waves.push_back(second);
  scenario.rollout.failure_share = 0.1;
  const RunResult result = run_alone(scenario);
  CHECK(result.waves[0].failed == 5);
  CHECK(result.waves[0].done == 45);
  CHECK_FALSE(result.waves[1].began);
  scenario.rollout.failure_share = 0;
  CHECK(run_alone(scenario).waves[1].began);
}

TEST_CASE("run: warm sites first, then the wave begins, and applying is all that is left") {
  Scenario scenario = small_scenario(2, 10);
  scenario.rollout.waves[0].gates.warm_percent = 100;
  scenario.rollout.waves[0].start = 1h;
  scenario.rollout.apply_takes = 60s;
  const RunResult result = run_alone(scenario);
  CHECK(seconds_of(result.waves[0].began) == Approx(3600));
  CHECK(ended(result) == Approx(3660));
  CHECK(result.totals.wan_down.count == 2'000'000'000);
}

TEST_CASE("run: a site whose devices lack nothing is warm") {
  Scenario scenario = small_scenario(2, 10);
  scenario.content.versions.push_back({"new", 0});
  scenario.mixes.push_back({.name = "new", .kinds = {{.version = 1}}});
  scenario.sites[1].mix = 1;
  scenario.rollout.waves[0].gates.warm_percent = 100;
  const RunResult result = run_alone(scenario);
  CHECK(seconds_of(result.waves[0].began) == Approx(400).epsilon(1e-5));
  CHECK(result.waves[0].done == 20);
}

TEST_CASE(
    "run: an origin that is full is shared by the sites, with admission one after the other") {
  Scenario scenario = small_scenario(10, 5);
  scenario.origin.uplink = 50_Mbit;
  const RunResult shared = run_alone(scenario);
  CHECK(ended(shared) == exactly(10 * kBytes / 6.25e6));
  REQUIRE(shared.waves[0].completion.p50);
  CHECK(seconds_of(Instant(*shared.waves[0].completion.p50)) == exactly(1600));
  CHECK(waited(shared, Limit::origin) == Approx(50 * 1600 * 1e3));
  CHECK(shared.lines[0].saturated.count() == Approx(1600e9));

  scenario.rollout.admission = policy::Admission::Limits{.sites_max = 2};
  const RunResult admitted = run_alone(scenario);
  CHECK(admitted.waves[0].done == 50);
  CHECK(ended(admitted) == Approx(5 * 400).epsilon(1e-6));
  CHECK(seconds_of(Instant(*admitted.waves[0].completion.p50)) == Approx(3 * 400).epsilon(1e-6));
  CHECK(waited(admitted, Limit::admission) ==
        Approx(10 * (400 + 800 + 1200 + 1600) * 1e3).epsilon(1e-6));
}

TEST_CASE("run: a region's line holds its sites back, and a seeder there does not use it") {
  Scenario scenario = small_scenario(4, 5);
  scenario.regions = {{.name = "north", .down = 20_Mbit}};
  for (Site& site : scenario.sites) site.region = 0;
  scenario.sites[3].region.reset();
  const RunResult result = run_alone(scenario);
  CHECK(ended(result) == exactly(3 * kBytes / kWan));
  CHECK(seconds_of(result.sites[3].finished) == exactly(kBytes / kWan));
  CHECK(waited(result, Limit::region) == Approx(15 * 1200 * 1e3));
  scenario.regions[0].seeder = 100_Mbit;
  const RunResult seeded = run_alone(scenario);
  CHECK(ended(seeded) == exactly(kBytes / kWan));
  CHECK(seeded.totals.origin.count == 1'000'000'000);
}

TEST_CASE("run: uploads go directly, or once through the site's relay") {
  Scenario scenario = small_scenario(1, 10);
  scenario.uploads = {.per_day = {80'000'000}, .times = 8};
  for (const bool relayed : {false, true}) {
    scenario.uploads.relayed = relayed;
    const RunResult result = run_alone(scenario);
    CHECK(result.sites[0].uploaded.count + result.sites[0].upload_left.count == 800'000'000);
    CHECK(result.sites[0].upload_left.count < 50'000'000);
    CHECK(result.totals.wan_up.count == Approx(result.sites[0].uploaded.count));
  }
}

TEST_CASE("run: what was due while its device was away is left over at the end") {
  Scenario scenario = small_scenario(1, 4);
  scenario.run.start = {4 * 86'400'000'000'000};
  scenario.presences[0].windows = {{.start = 0, .end = 720}};
  scenario.uploads = {.per_day = {24'000'000}, .times = 24};
  const RunResult result = run_alone(scenario);
  CHECK(result.sites[0].uploaded.count == Approx(4 * 12e6).epsilon(0.05));
  CHECK(result.sites[0].uploaded.count + result.sites[0].upload_left.count == 96'000'000);
}

TEST_CASE("run: each site alone and all together give the same, bit by bit") {
  Scenario scenario = small_scenario(12, 15);
  scenario.run.start = {4 * 86'400'000'000'000};
  scenario.run.duration = 36h;
  scenario.presences[0] = {.name = "office",
                           .windows = {{.start = 480, .end = 1020}},
                           .spread = 60min,
                           .absent = 0.1,
                           .reboot_every = 24h,
                           .reboot_takes = 3min};
  scenario.content.parts = {{"both", {400'000'000}}, {"one", {700'000'000}}, {"two", {30'000'000}}};
  scenario.content.versions = {{"one", 0b011}, {"two", 0b101}};
  scenario.mixes[0].kinds = {{.weight = 2, .version = 0}, {.weight = 1, .version = 1}};
  scenario.uploads = {.per_day = {50'000'000}, .times = 4};
  scenario.deaths = {{.share = 0.5, .at = Instant(9h)}};
  Wave& first = scenario.rollout.waves[0];
  Wave second = first;
  for (auto& member : first.members) member.percent = 20;
  first.gates.success_percent = 60;
  second.name = "rest";
  scenario.rollout.waves.push_back(second);
  for (std::size_t i = 0; i < scenario.sites.size(); ++i) {
    scenario.sites[i].wan_down = {static_cast<std::int64_t>(4 + i * 3) * 1'000'000};
    scenario.sites[i].wireless_share = 0.3;
    scenario.sites[i].utc_offset = std::chrono::hours{static_cast<int>(i) % 5};
  }
  for (const Mode mode : kModes) {
    scenario.rollout.mode = mode;
    const RunResult alone = run_alone(scenario);
    CHECK(alone.waves[1].began);
    CHECK(alone.totals.done > 0);
    const RunResult together =
        run(scenario, {.with_direct = false, .with_replicas = false, .together = true});
    CHECK(hash_of(together) == hash_of(alone));
    CHECK(hash_of(run(scenario, {.threads = 2, .with_direct = false})) == hash_of(alone));
  }
}

TEST_CASE(
    "run: replicas differ in what is drawn, and in the lines' rates by no more than was said") {
  Scenario scenario = small_scenario(5, 5);
  scenario.run.replicas = 4;
  scenario.uncertainty.wan = 0.2;
  const RunResult result = run(scenario, {.with_direct = false});
  REQUIRE(result.replicas.size() == 4);
  CHECK(seconds_of(result.replicas[0].totals.finished) == exactly(400));
  for (std::size_t i = 1; i < 4; ++i) {
    CHECK(seconds_of(result.replicas[i].totals.finished) > 400 / 1.2);
    CHECK(seconds_of(result.replicas[i].totals.finished) < 400 / 0.8 + 1e-6);
    CHECK(result.replicas[i].totals != result.replicas[0].totals);
  }
}

TEST_CASE("run: progress rises to the whole, alone and together, with all replicas") {
  for (const bool together : {false, true}) {
    Scenario scenario = small_scenario(300, 2);
    scenario.run.replicas = 3;
    std::vector<double> told;
    const auto note = [&](double share) { told.push_back(share); };
    (void)run(scenario, {.together = together, .progress = note});
    REQUIRE(told.size() > 20);
    CHECK(told.size() < 500);
    CHECK(std::ranges::is_sorted(told));
    CHECK(told.front() < 0.05);
    CHECK(told.back() == 1);
  }
}

TEST_CASE("run: what a window bounds is content, whatever comes around it") {
  Scenario scenario = small_scenario(1, 1);
  scenario.sites[0].wan_down = 1000_Mbit;
  scenario.sites[0].rtt = 100ms;
  scenario.tcp = {.goodput = 0.5, .window = 64_KiB};
  const double start = seconds_of(Instant(start_delay(scenario.tcp, 100ms, 655'360)));
  CHECK(ended(run_alone(scenario)) == exactly(kBytes / 655'360 + start));
}

TEST_CASE("run: who roams fetches over the line of the site where it is") {
  Scenario scenario = small_scenario(2, 3);
  scenario.presences[0].roaming = 1;
  scenario.sites[1].wan_down = 40_Mbit;
  for (const auto& [mode, times] : {std::pair(Mode::direct, 3), std::pair(Mode::swarm, 1)}) {
    scenario.rollout.mode = mode;
    const RunResult result = run_alone(scenario);
    CHECK(result.totals.done == 6);
    CHECK(seconds_of(result.sites[0].finished) == exactly(times * kBytes / (2 * kWan)));
    CHECK(seconds_of(result.sites[1].finished) == exactly(times * kBytes / kWan));
    CHECK(result.totals.wan_down.count == times * std::int64_t{2'000'000'000});
    CHECK(waited(result, Limit::wan) == Approx(times * 3 * 600 * 1e3));
    CHECK(waited(result, Limit::offline) == 0);
  }
}

TEST_CASE("run: who roams brings home what it fetched elsewhere") {
  Scenario scenario = small_scenario(2, 8);
  scenario.run.duration = 48h;
  scenario.sites[0].wan_down = {40'000};  // Takes 55 hours alone.
  CHECK(run_alone(scenario).sites[0].done == 0);
  scenario.presences[0].roaming = 0.5;
  const RunResult result = run_alone(scenario);
  CHECK(result.totals.done == 16);
  // Whoever was at the fast site on the first day, or is there on the second, was done at once;
  // the first who comes home gives it to the others.
  CHECK(seconds_of(result.sites[0].finished) > 24 * 3600);
  CHECK(seconds_of(result.sites[0].finished) < 24 * 3600 + 100);
  CHECK(by(result, Source::origin_by_lease) < 1'440'000'000);
}

TEST_CASE("run: uploads and a reflector's death go with whom they concern") {
  Scenario scenario = small_scenario(3, 6);
  scenario.run.start = {4 * 86'400'000'000'000};
  scenario.run.duration = 72h;
  scenario.presences[0] = {
      .name = "laptop", .windows = {{.start = 480, .end = 1020}}, .roaming = 0.5};
  scenario.uploads = {.per_day = {24'000'000}, .times = 24, .relayed = false};
  std::int64_t uploaded = 0, left = 0;
  for (const SiteResult& site : run_alone(scenario).sites) {
    uploaded += site.uploaded.count;
    left += site.upload_left.count;
  }
  CHECK(uploaded + left == 18 * 3 * 24'000'000);
  CHECK(left == Approx(18 * 7e6).epsilon(0.1));  // Of the last evening.
  scenario.deaths = {{.share = 1, .at = Instant(8h + 100s)}};
  const RunResult deadly = run_alone(scenario);
  CHECK(deadly.totals.done == 15);
}
