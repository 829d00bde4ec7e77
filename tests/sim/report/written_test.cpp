// What is written of a result, read again.
#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>
#include <sstream>

#include "shared/base/csv.hpp"
#include "sim/report/result_csv.hpp"
#include "sim/report/result_json.hpp"
#include "sim/report/result_metrics.hpp"
#include "tests/sim/report/sample.hpp"
#include "tests/support/exposition_check.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

std::string json_text(const Scenario& scenario, const RunResult& result) {
  std::ostringstream out;
  write_result_json(out, scenario, result);
  return out.str();
}

using Rows = std::vector<std::vector<std::string>>;

template <class Write>
Rows rows_of(const Write& write) {
  std::ostringstream out;
  write(out);
  const std::string text = out.str();
  CHECK(text.ends_with('\n'));
  Rows rows;
  for (CsvLines lines(text); lines.next();) {
    const auto fields = split_csv_line(lines.text());
    REQUIRE(fields);
    rows.emplace_back();
    for (const CsvField& field : *fields) rows.back().push_back(field.text);
    CHECK(rows.back().size() == rows.front().size());
  }
  return rows;
}

}  // namespace

TEST_CASE("result.json: is JSON with everything in it", "[report]") {
  const json top = json::parse(json_text(sample_scenario(), sample_result()));
  CHECK(top["format"] == "lamina-sim-result");
  CHECK(top["version"] == 1);
  CHECK(top["engine_version"] == "1.2.3");
  CHECK(top["input_hash"] == std::string(64, 'a'));
  CHECK(top["seed"] == 7);
  CHECK(top["scenario"]["name"] == sample_scenario().name);
  CHECK(top["scenario"]["start"] == "2026-03-02T17:00:00Z");
  CHECK(top["scenario"]["devices"] == 40);
  CHECK(top["totals"]["finished_ms"] == nullptr);
  CHECK(top["direct"]["origin_wire_bytes"] == 40'000'000'000);
  CHECK(top["content_bytes"]["lan-peer"] == 1000);
  CHECK(top["waiting_device_ms"]["wan"] == 3000);

  const json& wave = top["waves"][1];
  CHECK(wave["unfinished"] == 2);
  CHECK(wave["ended_ms"] == nullptr);
  CHECK(wave["since_it_began"]["p50_ms"] == 2'400'000);
  CHECK(wave["since_it_began"]["p95_ms"] == nullptr);
  CHECK(wave["over_replicas"]["p95"]["lowest_ms"] == 4'800'000);
  CHECK(wave["over_replicas"]["p95"]["highest_ms"] == nullptr);
  CHECK(wave["over_replicas"]["p95"]["reached"] == 2);
  CHECK(wave["curve"] == json::parse("[[1800000,0],[4200000,18],[9000000,33]]"));

  const json& site = top["sites"][0];
  CHECK(site["name"] == "berlin");
  CHECK(site["region"] == "east");
  CHECK(site["finished_ms"] == nullptr);
  CHECK(site["busiest_hour"]["hour"] == 0);
  CHECK(site["upload_left_bytes"] == 5);
  CHECK(top["sites"][1]["finished_ms"] == 3'600'000);

  REQUIRE(top["lines"].size() == 8);
  CHECK(top["lines"][4]["name"] == "berlin");
  CHECK(top["lines"][4]["direction"] == "down");
  CHECK(top["lines"][4]["saturated_ms"] == 6'600'000);
  CHECK(top["lines"][4]["wire_bytes_by_hour"][1] == 1'800'000'000);
  REQUIRE(top["replicas"].size() == 3);
  CHECK(top["replicas"][1]["waves"][1]["since_it_began"]["p95_ms"] == 5'400'000);
}

TEST_CASE("result.json: a result of nothing is JSON too", "[report]") {
  const json top = json::parse(json_text({}, {}));
  CHECK(top["sites"].empty());
  CHECK(top["direct"] == nullptr);
}

TEST_CASE("result.json: what is compared reads back", "[report]") {
  const auto outcome = parse_outcome(json_text(sample_scenario(), sample_result()));
  REQUIRE(outcome);
  CHECK(outcome->scenario == sample_scenario().name);
  CHECK(outcome->waves ==
        std::vector<Outcome::Wave>{{"pilot", 4, 4, {10min, 20min, 20min}},
                                   {"all", 36, 33, {40min, std::nullopt, std::nullopt}}});
  CHECK(outcome->sites ==
        std::vector<Outcome::Site>{{"berlin", 30, 28, std::nullopt, {300}, {1500}},
                                   {"lisbon", 10, 10, Instant{60min}, {200}, {100}}});
}

TEST_CASE("result.json: other files are refused with a word why", "[report]") {
  const auto why = [](std::string_view text) { return parse_outcome(text).error().text(); };
  CHECK(why("{}") == "it is no result of lamina-sim: its \"format\" is not \"lamina-sim-result\"");
  CHECK(why("[]") == why("{}"));
  CHECK(why("{\"format\": \"lamina-sim-result\", \"version\": 2}") ==
        "its version is 2, not 1: another lamina-sim wrote it");
  CHECK_FALSE(parse_outcome("{\"format\": \"lamina-sim-result\", \"version\": 1}"));
  CHECK_FALSE(parse_outcome("{\"format\": 7}"));
  CHECK_FALSE(parse_outcome("{"));
}

TEST_CASE("result.json: numbers that cannot be are refused, not computed with", "[report]") {
  std::ostringstream written;
  write_result_json(written, sample_scenario(), sample_result());
  for (const char* key : {"devices", "finished_ms", "p50_ms", "wan_down_wire_bytes"})
    for (const char* value :
         {"9000000000000000000", "18000000000000000000", "-1", "1e300", "1.5"}) {
      CAPTURE(key, value);
      const std::string start = '"' + std::string(key) + "\":";
      std::string text = written.str();
      std::size_t changed = 0;
      for (auto at = text.find(start); at != text.npos; at = text.find(start, at + 1), ++changed)
        text.replace(at + start.size(), text.find_first_of(",}", at) - at - start.size(), value);
      REQUIRE(changed > 0);
      const auto outcome = parse_outcome(text);
      REQUIRE_FALSE(outcome);
      CHECK(outcome.error().text().find(" is no whole number from 0 to ") != std::string::npos);
    }
}

TEST_CASE("tables: every line has the header's columns", "[report]") {
  const Rows waves = rows_of([](std::ostream& out) { write_waves_csv(out, sample_result()); });
  REQUIRE(waves.size() == 3);
  CHECK(waves[2] == std::vector<std::string>{"all", "36", "33", "1", "2", "1800", "", "2400", "",
                                             "", "4800", "5400", "", "2", "3"});
  const Rows sites =
      rows_of([](std::ostream& out) { write_sites_csv(out, sample_scenario(), sample_result()); });
  REQUIRE(sites.size() == 3);
  CHECK(sites[0][5] == "bytes lan-peer");
  CHECK(std::vector(sites[1].begin(), sites[1].begin() + 8) ==
        std::vector<std::string>{"berlin", "east", "30", "28", "", "900", "600", "300"});
  CHECK(sites[1].back() == "0");
  CHECK(sites[2][4] == "3600");
  const Rows lines =
      rows_of([](std::ostream& out) { write_lines_csv(out, sample_scenario(), sample_result()); });
  REQUIRE(lines.size() == 9);
  CHECK(lines[3] == std::vector<std::string>{"region east", "region", "down", "100000000", "300",
                                             "3600000000", "0", "0"});
}

TEST_CASE("metrics: the names of production, valid for Prometheus", "[report]") {
  const std::string text = result_metrics(sample_scenario(), sample_result());
  CHECK(check_exposition(text).findings.empty());
  for (const char* line :
       {"lamina_site_bytes_total{site=\"berlin\",source=\"lan-peer\"} 900\n",
        "lamina_site_devices{site=\"lisbon\"} 10\n", "lamina_devices_behind 2\n",
        "lamina_build_info{program=\"lamina-sim\",version=\"1.2.3\"} 1\n",
        "lamina_sim_wave_devices{state=\"unfinished\",wave=\"all\"} 2\n",
        "lamina_sim_wave_completion_seconds{quantile=\"0.5\",wave=\"all\"} 2400\n",
        "lamina_sim_line_saturated_seconds{direction=\"down\",kind=\"site\",line=\"berlin\"} "
        "6600\n"})
    CHECK(text.find(line) != std::string::npos);
  CHECK(text.find("quantile=\"0.99\",wave=\"all\"") == std::string::npos);
}
