#include "sim/lab/measured.hpp"

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "tests/sim/model/small_scenario.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace lamina::sim::testing;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

const json kAnswer = json::parse(R"({"format": "lamina-sim-measured", "version": 1, "began_ms": 100,
  "sites": [
    {"name": "site-10000", "done_ms": [4100, 2100], "bytes_by_source": {"lan-peer": 30,
     "origin-by-lease": 1000, "of-tomorrow": 5}, "down_wire_bytes": 1100, "up_wire_bytes": 40,
     "down_full_ms": 1500, "up_full_ms": 0},
    {"name": "site-10001", "done_ms": [3100], "bytes_by_source": {"reflector": 7},
     "down_wire_bytes": 900, "up_wire_bytes": 60, "down_full_ms": 0, "up_full_ms": 0}]})");

Scenario scenario_of_it() {
  Scenario scenario = small_scenario(2, 2);
  scenario.run.duration = 10s;
  return scenario;
}

std::string refusal(const json& answer) {
  const auto result = measured_result(answer.dump(), scenario_of_it());
  return result ? "none" : result.error().text();
}

}  // namespace

TEST_CASE("lab measured: completions, sources and lines as any result has them", "[lab]") {
  const auto result = measured_result(kAnswer.dump(), scenario_of_it());
  REQUIRE(result);
  REQUIRE(result->waves.size() == 1);
  const WaveResult& wave = result->waves[0];
  CHECK(wave.devices == 4);
  CHECK(wave.done == 3);
  CHECK(wave.began == Instant(100ms));
  CHECK(wave.completion.p50 == 3s);  // The second of four, since the wave began.
  CHECK_FALSE(wave.completion.p95);
  CHECK(wave.curve.back() == CurvePoint{Instant(4100ms), 3});
  CHECK(result->sites[0].finished == Instant(4100ms));
  CHECK_FALSE(result->sites[1].finished);
  CHECK(result->sites[0].bytes[static_cast<std::size_t>(Source::origin_by_lease)].count == 1000);
  CHECK(result->totals.wan_down.count == 2000);
  CHECK(result->totals.wan_up.count == 100);
  CHECK(result->totals.origin.count == 2000);
  REQUIRE(result->lines.size() == 6);
  CHECK(result->lines[2].saturated == 1500ms);
  CHECK(result->replicas.size() == 1);
  CHECK(result->engine_version.find("measured") != std::string::npos);
}

TEST_CASE("lab measured: another's answer is refused", "[lab]") {
  CHECK(refusal(kAnswer) == "none");
  json answer = kAnswer;
  answer["version"] = 2;
  CHECK(refusal(answer).find("of another version") != std::string::npos);
  answer = kAnswer;
  answer["sites"][1]["name"] = "elsewhere";
  CHECK(refusal(answer) == "its sites are not those of the scenario");
  answer = kAnswer;
  answer["sites"].erase(1);
  CHECK(refusal(answer) == "its sites are not those of the scenario");
  answer = kAnswer;
  answer["sites"][0]["done_ms"] = {1, 2, 3};
  CHECK(refusal(answer) == "more devices are done than the site has");
  answer = kAnswer;
  answer["began_ms"] = 1'000'000;
  CHECK(refusal(answer) == "a device is done before the wave begins (began_ms)");
  answer = kAnswer;
  answer["sites"][0].erase("down_wire_bytes");
  CHECK(refusal(answer).find("down_wire_bytes") != std::string::npos);
  const auto text = measured_result("{", scenario_of_it());
  CHECK_FALSE(text);
}
