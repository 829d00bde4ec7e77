// Many small scenarios with everything in them: what must hold whatever happens.
#include <catch2/catch.hpp>

#include "sim/engine/random.hpp"
#include "tests/sim/model/small_scenario.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace lamina::sim::testing;

namespace {

Scenario scenario_number(std::uint64_t number) {
  const Random random(number);
  std::uint64_t drawn = 0;
  const auto draw = [&] { return random.uniform(0, 1, drawn++); };
  const auto upto = [&](int most) { return static_cast<int>(draw() * most); };
  const auto minutes = [&](int most) { return std::chrono::minutes{upto(most)}; };

  Scenario scenario = small_scenario(1 + upto(6), 1 + upto(12));
  scenario.run.seed = number;
  scenario.run.start = {(4 * 1440 + upto(7 * 1440)) * std::int64_t{60'000'000'000}};
  scenario.run.duration = std::chrono::hours{6} + minutes(40 * 60);
  scenario.content.parts.clear();
  const int parts = 1 + upto(5);
  for (int i = 0; i < parts; ++i)
    scenario.content.parts.push_back({"part", {1'000 + upto(2'000'000'000)}});
  scenario.content.versions.clear();
  const int versions = 1 + upto(4);
  for (int i = 0; i < versions; ++i)
    scenario.content.versions.push_back({"version", static_cast<std::uint64_t>(upto(1 << parts))});
  scenario.presences.clear();
  const int presences = 1 + upto(3);
  for (int i = 0; i < presences; ++i) {
    Presence presence{.name = "presence"};
    const int windows = upto(3);
    for (int k = 0; k < windows; ++k)
      presence.windows.push_back({.days = static_cast<policy::Weekdays>(1 + upto(127)),
                                  .start = upto(1440),
                                  .end = 1 + upto(1440)});
    if (draw() < 0.5) presence.spread = minutes(240);
    if (draw() < 0.3) presence.absent = draw() * 0.5;
    if (number % 3 == 0 && draw() < 0.5) presence.roaming = draw() * 0.5;
    if (draw() < 0.5) {
      presence.reboot_every = std::chrono::hours{1 + upto(48)};
      presence.reboot_takes = minutes(59);
    }
    scenario.presences.push_back(presence);
  }
  scenario.mixes[0].kinds.clear();
  const int kinds = 1 + upto(4);
  for (int i = 0; i < kinds; ++i)
    scenario.mixes[0].kinds.push_back({.weight = 0.1 + draw(),
                                       .version = static_cast<Index>(upto(versions)),
                                       .presence = static_cast<Index>(upto(presences)),
                                       .access = static_cast<Access>(upto(3))});
  if (draw() < 0.5) {
    Load load{.name = "load"};
    for (double& share : load.down) share = draw() < 0.1 ? 1.0 : draw();
    for (double& share : load.up) share = draw();
    scenario.loads = {load};
  }
  if (draw() < 0.5)
    for (int i = upto(3); i >= 0; --i)
      scenario.rules.push_back({.download_kb = upto(500),
                                .upload_kb = upto(500),
                                .start = upto(720),
                                .end = 720 + upto(720)});
  for (Site& site : scenario.sites) {
    site.wan_down = {1'000'000 + upto(100'000'000)};
    site.wan_up = {1'000'000 + upto(20'000'000)};
    site.lan = {5'000'000 + upto(1'000'000'000)};
    site.wireless = {5'000'000 + upto(300'000'000)};
    site.wireless_share = draw() < 0.3 ? 1 : draw();
    site.utc_offset = std::chrono::minutes{30 * (upto(57) - 28)};
    site.reflectors = upto(4);
    site.rtt = std::chrono::milliseconds{upto(200)};
    site.loss = draw() < 0.5 ? 0 : draw() * 0.02;
    if (!scenario.loads.empty()) site.load = 0;
  }
  const int waves = 1 + upto(3);
  scenario.rollout.waves.resize(1);
  for (int i = 1; i < waves; ++i) scenario.rollout.waves.push_back(scenario.rollout.waves[0]);
  for (int i = 0; i < waves; ++i) {
    Wave& wave = scenario.rollout.waves[static_cast<std::size_t>(i)];
    for (auto& member : wave.members) member.percent = i + 1 == waves ? 100 : 1 + upto(100);
    wave.start = minutes(60) + i * std::chrono::hours{1};
    wave.gates = {.warm_percent = draw() < 0.3 ? upto(100) : 0,
                  .success_percent = upto(90),
                  .failure_percent = 20,
                  .soak = minutes(60)};
  }
  scenario.rollout.apply_takes = minutes(20);
  scenario.rollout.failure_share = draw() < 0.3 ? draw() * 0.2 : 0;
  scenario.tcp.goodput = 0.9 + 0.1 * draw();
  scenario.tcp.connections = 1 + upto(8);
  if (draw() < 0.5) scenario.swarm.efficiency = {{1, 1, 0.5}, {20, 1000, 0.9}};
  scenario.uploads = {.per_day = {upto(200'000'000)},
                      .times = 1 + upto(20),
                      .start = upto(720),
                      .end = 721 + upto(719),
                      .relayed = draw() < 0.6};
  if (draw() < 0.6)
    scenario.deaths = {{.share = draw(), .at = Instant(minutes(600)), .takeover = minutes(3)},
                       {.share = draw(), .at = Instant(minutes(600) + std::chrono::hours{10})}};
  return scenario;
}

// Of what a run says about itself.
void check(const Scenario& scenario, const RunResult& result) {
  const double goodput = scenario.tcp.goodput;
  const std::int64_t run_ms = scenario.run.duration / std::chrono::milliseconds{1};
  std::int64_t waited_by_all = 0;
  const bool roams =
      std::ranges::any_of(scenario.presences, [](const Presence& p) { return p.roaming > 0; });
  for (std::size_t i = 0; i < result.sites.size(); ++i) {
    const SiteResult& site = result.sites[i];
    CHECK(site.done <= site.devices);
    CHECK(site.upload_left.count >= 0);
    double down = 0, up = 0;
    const std::size_t first = result.lines.size() - 2 * result.sites.size() + 2 * i;
    for (const Bytes bytes : result.lines[first].hours) down += static_cast<double>(bytes.count);
    for (const Bytes bytes : result.lines[first + 1].hours) up += static_cast<double>(bytes.count);
    const auto of = [&](Source source) {
      return static_cast<double>(site.bytes[static_cast<std::size_t>(source)].count);
    };
    // Bytes of flows are those of lines; hours are rounded one by one.
    CHECK(down * goodput == Approx(of(Source::origin_by_lease) + of(Source::origin_by_budget))
                                .epsilon(1e-6)
                                .margin(100));
    CHECK(up * goodput == Approx(site.uploaded.count).epsilon(1e-6).margin(100));
    // No hour carries more than the line can.
    const double most =
        static_cast<double>(result.lines[first].rate.bits_per_second) / 8 * 3600 * (1 + 1e-9) + 1;
    for (const Bytes bytes : result.lines[first].hours)
      CHECK(static_cast<double>(bytes.count) <= most);
    std::int64_t waited = 0;
    for (const std::int64_t of_limit : site.waiting) {
      CHECK(of_limit >= 0);
      waited += of_limit;
    }
    waited_by_all += waited;
    if (!roams) CHECK(waited <= site.devices * run_ms + 9);  // Nor anybody else's.
  }
  CHECK(waited_by_all <=
        devices_of(scenario) * run_ms + 9 * static_cast<std::int64_t>(result.sites.size()));
  for (const WaveResult& wave : result.waves) {
    CHECK(wave.done + wave.failed <= wave.devices);
    CHECK((wave.began || wave.done == 0));
    CHECK(wave.curve.size() <= kCurvePointsMax);
    if (!wave.curve.empty()) CHECK(wave.curve.back().done == wave.done);
  }
}

}  // namespace

TEST_CASE("random runs: whatever happens, bytes and times add up, and alone is as together") {
  std::int64_t done = 0;
  for (std::uint64_t number = 1; number <= 150; ++number) {
    Scenario scenario = scenario_number(number);
    for (const Mode mode : kModes) {
      INFO("scenario " << number << ", " << name_of(mode));
      scenario.rollout.mode = mode;
      scenario.rollout.admission.reset();
      const RunResult alone = run_alone(scenario);
      check(scenario, alone);
      done += alone.totals.done;
      CHECK(hash_of(
                run(scenario, {.with_direct = false, .with_replicas = false, .together = true})) ==
            hash_of(alone));
      // An origin that is full part of the time, and few sites at once.
      Scenario thin = scenario;
      thin.origin = {.uplink = {20'000'000}, .downlink = {3'000'000}};
      const RunResult shared = run_alone(thin);
      check(thin, shared);
      for (const Bytes bytes : shared.lines[0].hours)
        CHECK(static_cast<double>(bytes.count) <= 20e6 / 8 * 3600 * (1 + 1e-9) + 100);
      thin.rollout.admission = policy::Admission::Limits{.sites_max = 2};
      check(thin, run_alone(thin));
    }
  }
  CHECK(done > 1000);
}
