#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include "shared/base/bytes.hpp"
#include "shared/cli/exit_code.hpp"
#include "shared/os/file.hpp"
#include "sim/cli/files.hpp"
#include "tests/sim/cli/says.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::sim;
using nlohmann::json;

namespace {

const char* const kScenario = R"(name = "tiny"
sites = "sites.csv"
[run]
start = 2026-03-02T18:00:00Z
duration = "2m"
[origin]
uplink = "1Gbit"
[content]
version = [{ name = "nothing", fetch = "9MB" }]
[rollout]
mode = "swarm"
[[rollout.wave]]
name = "all"
)";

// A scenario, and a run of it as `emulate` leaves it: 10 MB crossed the line of 8 Mbit/s, and half
// of the devices were done after 11 s.
struct EmulatedRun {
  tests::Scratch scratch;
  std::string scenario = scratch / "tiny.toml";
  std::string run = scratch / "run";

  EmulatedRun() {
    write("tiny.toml", kScenario);
    write("sites.csv", "site,devices,wan_down,rtt\nwest,3,8Mbit,20ms\n");
    REQUIRE(os::make_directories(run));
    const auto loaded = load_scenario_file(scenario);
    REQUIRE(loaded);
    write("run/emulated.json", json{{"format", "lamina-sim-emulated"},
                                    {"version", 1},
                                    {"scenario", scenario},
                                    {"set", json::array()},
                                    {"input_hash", loaded->input_hash}}
                                   .dump());
    write("run/measured.json", R"({"format": "lamina-sim-measured", "version": 1, "began_ms": 0,
      "sites": [{"name": "west", "done_ms": [11000, 11000, 11000], "bytes_by_source": {},
      "down_wire_bytes": 10000000, "up_wire_bytes": 0, "down_full_ms": 0, "up_full_ms": 0}]})");
  }
  void write(const std::string& name, const std::string& text) {
    REQUIRE(os::write_file(scratch / name, as_view(text)));
  }
};

}  // namespace

TEST_CASE("lamina-sim: calibrate writes a file with which the simulation gives the run", "[sim]") {
  EmulatedRun emulated;
  const Said said = sim_says({"calibrate", emulated.run, "--out", emulated.scratch / "found.toml"});
  CHECK(said.err.empty());
  REQUIRE(said.code == cli::ok);
  CHECK(said.out.find("goodput      0.9000  0.9000  0.9000   1") != std::string::npos);

  const Said run =
      sim_says({"run", emulated.scenario, "--set", "calibration=found.toml", "--json", "-"});
  REQUIRE(run.code == cli::ok);
  const json result = json::parse(run.out);
  CHECK(result["waves"][0]["since_it_began"]["p50_ms"].get<int>() == Approx(11000).margin(3));
  CHECK(result["totals"]["wan_down_wire_bytes"].get<int>() == Approx(10'000'000).epsilon(1e-4));
}

TEST_CASE("lamina-sim: calibrate refuses what is no run, or of a scenario that changed", "[sim]") {
  EmulatedRun emulated;
  const Said none = sim_says({"calibrate", emulated.scratch.path()});
  CHECK(none.code == cli::not_found);
  CHECK(none.err.find("emulated.json") != std::string::npos);

  emulated.write("sites.csv", "site,devices,wan_down,rtt\nwest,3,9Mbit,20ms\n");
  const Said changed = sim_says({"calibrate", emulated.run});
  CHECK(changed.code == cli::usage);
  CHECK(changed.err.find("tiny.toml is not what it was when this was measured") !=
        std::string::npos);
}

TEST_CASE("lamina-sim: emulate refuses before it starts anything", "[sim]") {
  EmulatedRun emulated;
  const std::string out = emulated.scratch / "out";
  const Said large = sim_says({"emulate", emulated.scenario, "--out", out, "--set",
                               "site.devices=31", "--set", "rollout.mode=reflector"});
  CHECK(large.code == cli::usage);
  CHECK(large.err.find("sites: 31 devices are too many for the lab") != std::string::npos);
  CHECK(large.err.find("rollout.mode: the programs' devices always serve each other") !=
        std::string::npos);

  const Said beside = sim_says({"emulate", emulated.scenario, "--out", emulated.scratch.path()});
  CHECK(beside.code == cli::refused);
  CHECK_FALSE(os::exists(out));

  const Said no_lab =
      sim_says({"emulate", emulated.scenario, "--out", out, "--lab", emulated.scratch.path()});
  CHECK(no_lab.code == cli::not_found);
  CHECK(no_lab.err.find("name its folder with --lab") != std::string::npos);
}
