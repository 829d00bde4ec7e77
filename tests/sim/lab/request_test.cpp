#include "sim/lab/request.hpp"

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "tests/sim/model/small_scenario.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace lamina::sim::testing;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

Scenario lab_scenario() {
  Scenario scenario = small_scenario(2, 5);
  scenario.run.duration = 10min;
  scenario.run.start = {4 * 86'400'000'000'000};  // A Monday, 00:00 UTC.
  scenario.content.parts[0].bytes = {40'000'000};
  for (Site& site : scenario.sites) site.rtt = 30ms;
  return scenario;
}

json request_of(const Scenario& scenario) {
  const auto request = lab_request(scenario, "plan.toml");
  INFO((request ? "" : request.error().text()));
  REQUIRE(request);
  return json::parse(*request);
}

std::string refusal(const Scenario& scenario) {
  const auto request = lab_request(scenario, "plan.toml");
  return request ? "none" : request.error().text();
}

}  // namespace

TEST_CASE("lab request: sites, lines and content as the scenario has them", "[lab]") {
  Scenario scenario = lab_scenario();
  scenario.sites[1].lan = 40_Mbit;
  scenario.sites[1].loss = 0.01;
  scenario.rollout.waves[0].start = 45s;
  const json request = request_of(scenario);
  CHECK(request["format"] == "lamina-sim-lab");
  CHECK(request["content_bytes"] == 40'000'000);
  CHECK(request["duration_ms"] == 600'000);
  CHECK(request["begin_ms"] == 45'000);
  CHECK(request["until_applied"] == false);
  CHECK(request["sites"][0] == json::parse(R"({"name": "site-10000", "devices": 5, "reflectors": 1,
    "down_bits_per_s": 20000000, "up_bits_per_s": 20000000, "rtt_ms": 30.0, "loss": 0.0,
    "limits": [], "deaths_ms": []})"));
  CHECK(request["sites"][1]["lan_bits_per_s"] == 40'000'000);
  CHECK(request["sites"][1]["loss"] == 0.01);

  scenario.rollout.apply_takes = 1s;
  scenario.rollout.mode = Mode::direct;
  const json direct = request_of(scenario);
  CHECK(direct["until_applied"] == true);
  CHECK(direct["sites"][0]["reflectors"] == 0);
}

TEST_CASE("lab request: rules become minutes of the run", "[lab]") {
  Scenario scenario = lab_scenario();
  scenario.rules = {
      {.site = scenario.sites[0].name, .download_kb = 500, .upload_kb = 7, .start = 1, .end = 3},
      {.download_kb = 0, .start = 8, .end = 60}};
  const json request = request_of(scenario);
  CHECK(request["sites"][0]["limits"] == json::parse(R"([
    {"from_minute": 1, "until_minute": 3, "download_kb": 500, "upload_kb": 7},
    {"from_minute": 8, "until_minute": 10, "download_kb": 0, "upload_kb": null}])"));
  CHECK(request["sites"][1]["limits"].size() == 1);
}

TEST_CASE("lab request: those reflectors die that die in the run", "[lab]") {
  Scenario scenario = lab_scenario();
  scenario.deaths = {{.share = 0.5, .at = Instant(12s)}, {.share = 1, .at = Instant(20s)}};
  const json sites = request_of(scenario)["sites"];
  std::size_t first = 0;
  for (const json& site : sites) {
    first += site["deaths_ms"].front() == 12'000;
    CHECK(site["deaths_ms"].back() == 20'000);
  }
  CHECK(first == 1);

  // The site that the model strikes is the one that loses a device.
  scenario.deaths.pop_back();
  const RunResult run = run_alone(scenario);
  const json once = request_of(scenario)["sites"];
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(run.sites[i].done == (once[i]["deaths_ms"].empty() ? 5 : 4));
}

TEST_CASE("lab request: what the lab cannot do is named", "[lab]") {
  struct Case {
    const char* said;
    void (*change)(Scenario&);
  };
  const Case cases[] = {
      {"plan.toml: sites: 50 devices are too many for the lab: at most 30",
       [](Scenario& s) { s.sites[0].devices = 45; }},
      {"run.duration: the lab runs in real time", [](Scenario& s) { s.run.duration = 2h; }},
      {"region: the lab has no lines above", [](Scenario& s) { s.sites[0].region = 0; }},
      {"load: the lab's lines carry nothing else", [](Scenario& s) { s.sites[0].load = 0; }},
      {"wireless_share: the lab has no radio",
       [](Scenario& s) { s.sites[0].wireless_share = 0.1; }},
      {"access: the lab has no radio",
       [](Scenario& s) { s.mixes[0].kinds[0].access = Access::wireless; }},
      {"reflectors: it has only 3 devices",
       [](Scenario& s) {
         s.sites[0].devices = 3;
         s.sites[0].reflectors = 4;
       }},
      {"origin.uplink: the lab has no line in front",
       [](Scenario& s) { s.origin.uplink = 30_Mbit; }},
      {"content.version: all devices of the lab start from the same version",
       [](Scenario& s) {
         s.content.versions.push_back({"new", 0});
         s.mixes[0].kinds.push_back({.version = 1});
       }},
      {"content: 0 B are none for the lab", [](Scenario& s) { s.content.versions[0].parts = 0; }},
      {"presence: the lab's devices are always up",
       [](Scenario& s) { s.presences[0].absent = 0.1; }},
      {"rollout.mode: the programs' devices always serve each other",
       [](Scenario& s) { s.rollout.mode = Mode::reflector; }},
      {"rollout.failures:", [](Scenario& s) { s.rollout.failure_share = 0.1; }},
      {"rollout.wave: the lab carries out one wave",
       [](Scenario& s) { s.rollout.waves[0].members.pop_back(); }},
      {"rollout.wave: the lab carries out one wave",
       [](Scenario& s) { s.rollout.waves[0].members[1].percent = 50; }},
      {"rollout.sites_at_once: where each device fetches for itself",
       [](Scenario& s) {
         s.rollout.mode = Mode::direct;
         s.rollout.admission.emplace().sites_max = 1;
       }},
      {"uploads.per_day: the lab's devices upload nothing",
       [](Scenario& s) { s.uploads.per_day = {1}; }},
      {"reflector_deaths: in mode \"direct\"",
       [](Scenario& s) {
         s.rollout.mode = Mode::direct;
         s.deaths = {{.share = 1}};
       }},
  };
  CHECK(refusal(lab_scenario()) == "none");
  for (const Case& one : cases) {
    Scenario scenario = lab_scenario();
    one.change(scenario);
    const std::string said = refusal(scenario);
    INFO(said);
    CHECK(said.find(one.said) != said.npos);
  }
}
