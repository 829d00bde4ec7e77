#include "sim/lab/calibrate.hpp"

#include <catch2/catch.hpp>

#include "tests/sim/model/small_scenario.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace lamina::sim::testing;
using namespace std::chrono_literals;

namespace {

// A minute's transfer in the lab's size: 40 MB over 8 Mbit/s.
Scenario lab_scenario(int sites, int devices) {
  Scenario scenario = small_scenario(sites, devices);
  scenario.run.duration = 10min;
  scenario.content.parts[0].bytes = {40'000'000};
  for (Site& site : scenario.sites) site.wan_down = site.wan_up = 8_Mbit;
  return scenario;
}

// What would be measured where the factors are those of `truth`; the scenario knows none of them.
MeasuredRun run_of(const Scenario& truth) {
  MeasuredRun run{truth, run_alone(truth)};
  run.scenario.tcp = {};
  run.scenario.swarm.efficiency.clear();
  run.scenario.rollout.start_takes = run.scenario.rollout.rules_take = {};
  for (ReflectorDeaths& death : run.scenario.deaths) death.takeover = 17s;
  return run;
}

Scenario plain(double goodput, Duration start) {
  Scenario scenario = lab_scenario(2, 5);
  scenario.tcp.goodput = goodput;
  scenario.rollout.start_takes = start;
  return scenario;
}

}  // namespace

TEST_CASE("calibrate: a plain run tells goodput and start, several their spread", "[lab]") {
  const Calibration found = calibrate(
      {run_of(plain(0.9, 800ms)), run_of(plain(0.9, 1000ms)), run_of(plain(0.9, 1500ms))});
  REQUIRE(found.goodput);
  CHECK(found.goodput->mean == Approx(0.9).epsilon(1e-6));
  CHECK(found.goodput->runs == 3);
  REQUIRE(found.start_takes);
  CHECK(found.start_takes->mean == Approx(1.1).margin(0.002));
  CHECK(found.start_takes->lowest == Approx(0.8).margin(0.002));
  CHECK(found.start_takes->highest == Approx(1.5).margin(0.002));
  CHECK_FALSE(found.rules_take);
  CHECK_FALSE(found.takeover);
  CHECK(found.efficiency.empty());
}

TEST_CASE("calibrate: deaths tell the takeover, with goodput and start of plain runs", "[lab]") {
  Scenario death = plain(0.92, 700ms);
  death.deaths = {{.share = 1, .at = Instant(10s), .takeover = 5300ms}};
  const Calibration found = calibrate({run_of(death), run_of(plain(0.92, 700ms))});
  REQUIRE(found.takeover);
  CHECK(found.takeover->mean == Approx(5.3).margin(0.01));
  CHECK(found.takeover->runs == 1);
  CHECK(found.goodput->runs == 1);
}

TEST_CASE("calibrate: rules tell when the line shows them", "[lab]") {
  Scenario rules = plain(0.95, 500ms);
  rules.run.start = {4 * 86'400'000'000'000};
  rules.rollout.waves[0].start = 45s;
  rules.rules = {{.download_kb = 500, .start = 1, .end = 60}};
  rules.rollout.rules_take = 2400ms;
  const Calibration found = calibrate({run_of(plain(0.95, 500ms)), run_of(rules)});
  REQUIRE(found.rules_take);
  CHECK(found.rules_take->mean == Approx(2.4).margin(0.01));
}

TEST_CASE("calibrate: ports that are slower than the line tell the swarm's efficiency", "[lab]") {
  Scenario ports = plain(0.95, 500ms);
  for (Site& site : ports.sites) site.lan = 5_Mbit;
  ports.swarm.efficiency = {{.peers = 5, .pieces = 153, .eta = 0.4}};
  const Calibration found = calibrate({run_of(plain(0.95, 500ms)), run_of(ports)});
  REQUIRE(found.efficiency.size() == 1);
  CHECK(found.efficiency[0].peers == 5);
  CHECK(found.efficiency[0].pieces == 153);  // Of 256 KiB in 40 MB.
  CHECK(found.efficiency[0].eta.mean == Approx(0.4).epsilon(0.002));
}

TEST_CASE("calibrate: devices that fetch for themselves tell how unlike shares are", "[lab]") {
  Scenario direct = plain(0.95, 500ms);
  direct.rollout.mode = Mode::direct;
  direct.tcp.unevenness = 0.35;
  direct.content.parts[0].bytes = {8'000'000};
  const Calibration found = calibrate({run_of(plain(0.95, 500ms)), run_of(direct)});
  REQUIRE(found.unevenness);
  CHECK(found.unevenness->mean == Approx(0.35).epsilon(0.001));
  CHECK(found.goodput->runs == 1);
}

TEST_CASE("calibrate: what cannot be told is left out", "[lab]") {
  CHECK(calibrate({}) == Calibration{});
  MeasuredRun none = run_of(plain(0.95, 0s));  // Nobody was done.
  none.measured.waves[0].completion = {};
  CHECK_FALSE(calibrate({none}).start_takes);
}
