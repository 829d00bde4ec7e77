// The commands that run a scenario, on one so small that what comes out can be computed by hand.
#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "shared/cli/exit_code.hpp"
#include "shared/os/file.hpp"
#include "tests/sim/cli/says.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::sim;
using nlohmann::json;

namespace {

// One site, 10 devices that are always up, 956 MB of content: 1000 MB on the wire.
constexpr const char* kScenario = R"(name = "small"
sites = "sites.csv"
[run]
start = 2026-03-02T20:00:00Z
duration = "12h"
[origin]
uplink = "10Gbit"
[[content.version]]
name = "12.9"
fetch = "956MB"
[rollout]
[[rollout.wave]]
name = "all"
)";

struct Small {
  tests::Scratch scratch;
  std::string file = scratch / "scenario.toml";
  Small() {
    REQUIRE(os::write_file(file, as_view(kScenario)));
    REQUIRE(os::write_file(scratch / "sites.csv",
                           as_view("site,devices,wan_down,rtt\nnorth,10,8Mbit,0s\n")));
  }
  json result(const std::string& directory) const {
    return json::parse(*os::read_text(scratch / directory + "/result.json"));
  }
};

double hours(const json& milliseconds) { return milliseconds.get<double>() / 3.6e6; }

}  // namespace

TEST_CASE("lamina-sim run: writes every file of the report, and prints the waves", "[sim]") {
  const Small small;
  const Said run = sim_says({"run", small.file, "--out", small.scratch / "out", "--seeds", "2"});
  CHECK(run.err.empty());
  REQUIRE(run.code == cli::ok);
  CHECK(run.out.find("all") != std::string::npos);
  CHECK(run.out.find("The report: " + (small.scratch / "out/report.html")) != std::string::npos);
  for (const char* name : {"report.html", "waves.csv", "sites.csv", "lines.csv", "metrics.prom"})
    CHECK(os::read_text(small.scratch / "out/" + name));

  const json result = small.result("out");
  CHECK(result["replicas"].size() == 2);
  CHECK(result["waves"][0]["done"] == 10);
  // 1000 MB over 8 Mbit/s are 1000 s; the LAN has a tail of seconds behind it.
  const double p99 = hours(result["waves"][0]["since_it_began"]["p99_ms"]);
  CHECK(p99 > 999.9 / 3600);
  CHECK(p99 < 1100.0 / 3600);
  // Every device for itself: ten times over the same line.
  CHECK(result["direct"]["wan_down_wire_bytes"].get<double>() /
            result["totals"]["wan_down_wire_bytes"].get<double>() ==
        Approx(10).epsilon(0.01));
}

TEST_CASE("lamina-sim run: prints the result as JSON, the same whatever the threads", "[sim]") {
  const Small small;
  const auto one = sim_says({"run", small.file, "--json", "-", "--threads", "1", "--seeds", "3"});
  const auto two = sim_says({"run", small.file, "--json", "-", "--threads", "2", "--seeds", "3"});
  REQUIRE(one.code == cli::ok);
  CHECK(json::parse(one.out)["format"] == "lamina-sim-result");
  CHECK(one.out == two.out);
}

TEST_CASE("lamina-sim run: does not write over the scenario's own tables", "[sim]") {
  const Small small;
  const Said run = sim_says({"run", small.file, "--out", small.scratch.path()});
  CHECK(run.code == cli::refused);
  CHECK(run.err.find("holds the scenario") != std::string::npos);
  CHECK(os::read_text(small.scratch / "sites.csv")->starts_with("site,devices"));
}

TEST_CASE("lamina-sim: a wrong --set is told before anything runs", "[sim]") {
  const Small small;
  const Said none = sim_says({"run", small.file, "--set", "origin.uplink"});
  CHECK(none.code == cli::usage);
  CHECK(none.err.find("KEY=VALUE is needed") != std::string::npos);
  const Said word = sim_says({"sweep", small.file, "--set", "origin.uplnk=1Gbit,2Gbit"});
  CHECK(word.code == cli::usage);
  CHECK(word.err.find("--set origin.uplnk: origin: unknown key 'uplnk'; is it 'uplink'?") !=
        std::string::npos);
}

TEST_CASE("lamina-sim sweep: a line for each combination, the last key fastest", "[sim]") {
  const Small small;
  const Said sweep = sim_says({"sweep", small.file, "--set", "site.wan_down=8Mbit,16Mbit", "--set",
                               "rollout.mode=swarm,direct", "--json"});
  INFO(sweep.err);
  REQUIRE(sweep.code == cli::ok);
  const json variants = json::parse(sweep.out)["variants"];
  REQUIRE(variants.size() == 4);
  CHECK(variants[1]["set"]["site.wan_down"] == "8Mbit");
  CHECK(variants[1]["set"]["rollout.mode"] == "direct");
  const auto p95 = [&](std::size_t i) { return hours(variants[i]["waves"][0]["p95_median_ms"]); };
  CHECK(p95(0) / p95(2) == Approx(2).epsilon(0.05));
  CHECK(p95(1) / p95(0) == Approx(10).epsilon(0.05));
  const Said people = sim_says({"sweep", small.file, "--set", "site.wan_down=8Mbit,16Mbit"});
  CHECK(people.out.starts_with("site.wan_down"));
}

TEST_CASE("lamina-sim solve: the smallest rate with which a wave is done in time", "[sim]") {
  const Small small;
  const Said solve = sim_says(
      {"solve", small.file, "--target", "wave1.p95<30m", "--vary", "site.wan_down", "--json"});
  INFO(solve.err);
  REQUIRE(solve.code == cli::ok);
  const json said = json::parse(solve.out);
  // 1000 MB in 1800 s are 4.44 Mbit/s, and the tail wants a little more.
  const std::string answer = said["answer"];
  CHECK((answer == "4500kbit" || answer == "4600kbit"));
  // What is answered was tried, and what is one less was tried and is not enough.
  bool holds = false;
  bool fails = false;
  for (const json& one : said["tries"]) {
    if (one["value"] == answer) holds = one["holds"];
    if (one["value"] == (answer == "4500kbit" ? "4400kbit" : "4500kbit")) fails = !one["holds"];
  }
  CHECK(holds);
  CHECK(fails);

  // As a cap of the rules, whose unit is 8 kbit/s.
  const Said cap = sim_says({"solve", small.file, "--set", "site.wan_down=100Mbit", "--target",
                             "all.p95 < 30m", "--vary", "site.cap"});
  CHECK(cap.code == cli::ok);
  CHECK(cap.out.find("is enough, in every replica.") != std::string::npos);
}

TEST_CASE("lamina-sim solve: every value that can be varied", "[sim]") {
  const Small small;
  for (const auto& [vary, answer] :
       {std::pair("site.cap", "cap="), std::pair("site.wan_down", "wan_down="),
        std::pair("origin.uplink", "uplink="), std::pair("site.reflectors", "reflectors=1 is"),
        std::pair("rollout.sites_at_once", "sites_at_once=1 is")}) {
    const Said solve = sim_says({"solve", small.file, "--target", "all.p95<30m", "--vary", vary});
    INFO(vary << ": " << solve.err);
    CHECK(solve.code == cli::ok);
    CHECK(solve.out.find(answer) != std::string::npos);
    CHECK(solve.out.find("is enough, in every replica.") != std::string::npos);
  }
}

TEST_CASE("lamina-sim solve: says when nothing is enough, and what it cannot solve", "[sim]") {
  const Small small;
  const auto solve = [&](const char* target, const char* vary) {
    return sim_says({"solve", small.file, "--target", target, "--vary", vary});
  };
  const Said never = solve("wave1.p95<1m", "origin.uplink");
  CHECK(never.code == cli::failed);
  CHECK(never.out.find("It holds with no value that was tried") != std::string::npos);
  CHECK(solve("wave2.p95<1m", "site.cap").err.find("there is no wave 'wave2'") !=
        std::string::npos);
  CHECK(solve("wave1.p90<1m", "site.cap").err.find("none of p50, p95, p99") != std::string::npos);
  CHECK(solve("wave1<1m", "site.cap").err.find("WAVE.FIGURE<TIME is needed") != std::string::npos);
  CHECK(solve("wave1.p95<soon", "site.cap").code == cli::usage);
  CHECK(solve("wave1.p95<1m", "site.cpa").err.find("is it 'site.cap'?") != std::string::npos);
}

TEST_CASE("lamina-sim sweep: ranges, and a page with a chart", "[sim]") {
  const Small small;
  const auto values = [&](const std::string& set) {
    const Said sweep = sim_says({"sweep", small.file, "--set", set, "--json"});
    std::vector<std::string> found;
    if (sweep.code != cli::ok) return std::vector{sweep.err};
    const json said = json::parse(sweep.out);
    for (const json& variant : said["variants"])
      found.push_back(variant["set"].begin()->get<std::string>());
    return found;
  };
  CHECK(values("site.wan_down=10Mbit..50Mbit/5") ==
        std::vector<std::string>{"10Mbit", "20Mbit", "30Mbit", "40Mbit", "50Mbit"});
  CHECK(values("site.loss=0.5%..1%/3,2%") == std::vector<std::string>{"0.5%", "0.75%", "1%", "2%"});
  CHECK(values("site.reflectors=1..3/3") == std::vector<std::string>{"1", "2", "3"});
  for (const char* wrong :
       {"10Mbit..50Mbit", "10Mbit..50Mbit/1", "10Mbit..50Mbit/101", "10Mbit..1Gbit/3",
        "50Mbit..10Mbit/3", "..50Mbit/3", "10Mbit../3", "nan..inf/3", "10Mbit..50Mbit/x"}) {
    INFO(wrong);
    CHECK(values(std::string("site.wan_down=") + wrong)[0].find("is no range such as") !=
          std::string::npos);
  }

  const Said page = sim_says({"sweep", small.file, "--set", "site.wan_down=2Mbit..8Mbit/4",
                              "--seeds", "3", "--out", small.scratch / "out"});
  REQUIRE(page.code == cli::ok);
  CHECK(page.out.find("The report: ") != std::string::npos);
  const std::string html = *os::read_text(small.scratch / "out/sweep.html");
  CHECK(html.find("<svg") != std::string::npos);
  for (const char* text : {">2Mbit<", ">4Mbit<", ">6Mbit<", ">8Mbit<", "the same 3 seeds"})
    CHECK(html.find(text) != std::string::npos);
}

TEST_CASE("lamina-sim fail: what the death of a reflector costs", "[sim]") {
  const Small small;
  const Said fail = sim_says({"fail", small.file, "--set", "site.devices=40", "--reflectors",
                              "100%", "--at", "10m", "--json"});
  INFO(fail.err);
  REQUIRE(fail.code == cli::ok);
  const json said = json::parse(fail.out);
  const auto p95 = [&](const char* with) {
    return said[with]["waves"][0]["p95_median_ms"].get<std::int64_t>();
  };
  CHECK(said["with"]["waves"][0]["done"].get<int>() == 39);
  CHECK(p95("with") > p95("without"));
  CHECK(sim_says({"fail", small.file, "--reflectors", "much", "--at", "10m"}).code == cli::usage);
  CHECK(sim_says({"fail", small.file, "--reflectors", "5%", "--at", "99h"}).code == cli::usage);
}

TEST_CASE("lamina-sim compare: errors by wave and site, and what only one has", "[sim]") {
  const Small small;
  REQUIRE(sim_says({"run", small.file, "--out", small.scratch / "a"}).code == cli::ok);
  REQUIRE(
      sim_says({"run", small.file, "--out", small.scratch / "b", "--set", "site.wan_down=4Mbit"})
          .code == cli::ok);
  const std::string plan = small.scratch / "a/result.json";
  const std::string actual = small.scratch / "b/result.json";
  const Said compare = sim_says({"compare", plan, actual, "--json"});
  INFO(compare.err);
  REQUIRE(compare.code == cli::ok);
  const json said = json::parse(compare.out);
  CHECK(said["waves"][0]["p95_error"].get<double>() == Approx(1).epsilon(0.05));
  CHECK(said["sites"][0]["bytes_error"].get<double>() == Approx(0).margin(1e-9));
  CHECK(said["finished_error_mean_size"].get<double>() == Approx(1).epsilon(0.05));
  CHECK(said["only_planned"].empty());

  std::string renamed = *os::read_text(actual);
  for (std::size_t at = 0; (at = renamed.find("\"north\"", at)) != renamed.npos;)
    renamed.replace(at, 7, "\"south\"");
  REQUIRE(os::write_file(actual, as_view(renamed)));
  const Said foreign = sim_says({"compare", plan, actual});
  CHECK(foreign.code == cli::ok);
  CHECK(foreign.out.find("Only in the plan: 1, such as site north") != std::string::npos);
  CHECK(foreign.out.find("Only in what happened: 1, such as site south") != std::string::npos);

  CHECK(sim_says({"compare", plan, small.file}).code == cli::usage);

  // As an origin prints a rollout: done twice as late, over twice the bytes.
  const double planned = small.result("a")["sites"][0]["finished_ms"].get<double>();
  const auto bytes = small.result("a")["sites"][0]["content_bytes"]["origin-by-lease"];
  json rollout = {{"rollout",
                   {{"plan",
                     {{"name", "r"},
                      {"layers", {"os:1"}},
                      {"sites_at_once", 10},
                      {"waves",
                       {{{"name", "all"},
                         {"sites", {"north"}},
                         {"devices", json::array()},
                         {"shares", json::array()},
                         {"warm_percent", 0},
                         {"success_percent", 90},
                         {"failure_percent", 5},
                         {"soak_ms", 0}}}}}},
                    {"phase", "running"},
                    {"waits_for", ""},
                    {"stop_reason", "none"},
                    {"text", ""},
                    {"current", 0},
                    {"created_ms", 1},
                    {"started_ms", 1000},
                    {"ended_ms", 0},
                    {"success_since_ms", 0},
                    {"waves",
                     {{{"step", "begun"},
                       {"devices", 1},
                       {"succeeded", 1},
                       {"failed", 0},
                       {"sites", 1},
                       {"warm_sites", 0},
                       {"began_ms", 1000}}}},
                    {"admitted", json::array()},
                    {"sites_waiting", 0},
                    {"next_sites", json::array()}}},
                  {"devices",
                   {{{"device", std::string(32, '1')},
                     {"site", "north"},
                     {"wave", 0},
                     {"outcome", "succeeded"},
                     {"holds", true},
                     {"target_sequence", 1},
                     {"text", ""},
                     {"outcome_ms", 1000 + static_cast<std::int64_t>(2 * planned)},
                     {"bytes_by_source", {{"origin-by-lease", 2 * bytes.get<std::int64_t>()}}}}}}};
  REQUIRE(os::write_file(actual, as_view(rollout.dump())));
  const Said measured = sim_says({"compare", plan, actual, "--json"});
  INFO(measured.err);
  REQUIRE(measured.code == cli::ok);
  const json errors = json::parse(measured.out);
  CHECK(errors["waves"][0]["p50_error"].get<double>() == Approx(1).epsilon(1e-3));
  CHECK(errors["sites"][0]["bytes_error"].get<double>() == Approx(1));
  CHECK(errors["sites"][0]["finished_error"].get<double>() == Approx(1).epsilon(1e-3));
  rollout["rollout"]["started_ms"] = 0;
  REQUIRE(os::write_file(actual, as_view(rollout.dump())));
  CHECK(sim_says({"compare", plan, actual}).err.find("rollout r was not started yet") !=
        std::string::npos);
  CHECK(sim_says({"compare", plan, small.scratch / "none"}).code == cli::not_found);
}
