#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>
#include <sstream>

#include "shared/base/bytes.hpp"
#include "shared/cli/exit_code.hpp"
#include "shared/os/file.hpp"
#include "sim/cli/files.hpp"
#include "tests/sim/cli/says.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::sim;
using nlohmann::json;

TEST_CASE("lamina-sim: the example of init is good, and nothing is overwritten", "[sim]") {
  const tests::Scratch scratch;
  const Said init = sim_says({"init", scratch / "plan"});
  CHECK(init.code == cli::ok);
  CHECK(init.out.find("lamina-sim check " + scratch.path() + "/plan/scenario.toml") !=
        std::string::npos);

  const Said check = sim_says({"check", scratch / "plan/scenario.toml"});
  CHECK(check.err.empty());
  CHECK(check.code == cli::ok);

  REQUIRE(os::write_file(scratch / "plan/scenario.toml", as_view("mine")));
  REQUIRE(os::remove_file(scratch / "plan/sites.csv"));
  const Said again = sim_says({"init", scratch / "plan"});
  CHECK(again.code == cli::refused);
  CHECK(again.err.find("/plan/scenario.toml is there already, and nothing is overwritten") !=
        std::string::npos);
  CHECK(os::read_text(scratch / "plan/scenario.toml") == "mine");
  CHECK_FALSE(os::read_text(scratch / "plan/sites.csv"));
}

TEST_CASE("lamina-sim: every value that the example leaves out is known", "[sim]") {
  const tests::Scratch scratch;
  REQUIRE(sim_says({"init", scratch.path()}).code == cli::ok);
  std::istringstream example(*os::read_text(scratch / "scenario.toml"));
  std::string all, line;
  bool is_prose = true;  // The first lines explain; later "# key = value" is left out.
  while (std::getline(example, line)) {
    if (line.starts_with("name")) is_prose = false;
    const auto is_value = line.starts_with("# ") && line.find(" = ") != line.npos;
    const auto is_table = line.starts_with("# [");
    if (!is_prose && (is_value || is_table)) line.erase(0, 2);
    // What stands for something that has to be written.
    if (line.find("...") != line.npos) continue;
    all += line + '\n';
  }
  REQUIRE(os::write_file(scratch / "scenario.toml", as_view(all)));
  REQUIRE(os::write_file(scratch / "devices.csv", as_view("site,devices,version,presence,access\n"
                                                          "leipzig,40,12.6,laptops,wireless\n")));
  const auto scenario = load_scenario_file(scratch / "scenario.toml");
  INFO((scenario ? "" : scenario.error().text()));
  REQUIRE(scenario);
  CHECK(scenario->deaths.size() == 1);
  CHECK(scenario->swarm.efficiency.size() == 1);
  CHECK(scenario->mixes.size() == 2);
}

TEST_CASE("lamina-sim: check tells all findings, for people and as a record", "[sim]") {
  const tests::Scratch scratch;
  REQUIRE(sim_says({"init", scratch.path()}).code == cli::ok);
  const std::string file = scratch / "scenario.toml";
  std::string text = *os::read_text(file);
  text.replace(text.find("uplink = \"1Gbit\""), 6, "uplnk ");
  REQUIRE(os::write_file(file, as_view(text)));

  const Said people = sim_says({"check", file});
  CHECK(people.code == cli::usage);
  CHECK(people.out.empty());
  CHECK(people.err.find("unknown key 'uplnk'; is it 'uplink'?\n") != std::string::npos);

  const Said record = sim_says({"check", file, "--json"});
  CHECK(record.code == cli::usage);
  const json said = json::parse(record.out);
  CHECK(said["good"] == false);
  REQUIRE(said["findings"].size() == 2);
  CHECK(said["findings"][1]["file"] == file);
  CHECK(said["findings"][1]["line"] == 21);
  CHECK(said["findings"][1]["column"] == 1);

  const Said none = sim_says({"check", scratch / "none.toml"});
  CHECK(none.code == cli::usage);
  CHECK(none.err.find("none.toml") != std::string::npos);
  CHECK(none.err.find("lamina-sim init") != std::string::npos);
}

TEST_CASE("lamina-sim: every command has help with an example, and wrong words are told", "[sim]") {
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{},
                                             {"init"},
                                             {"import"},
                                             {"check"},
                                             {"run"},
                                             {"sweep"},
                                             {"solve"},
                                             {"fail"},
                                             {"compare"}}) {
    std::vector<std::string> words = command;
    words.emplace_back("--help");
    const Said help = sim_says(words);
    CHECK(help.code == cli::ok);
    CHECK(help.out.find("Example: lamina-sim ") != std::string::npos);
  }
  CHECK(sim_says({}).code == cli::usage);
  CHECK(sim_says({"chek"}).code == cli::usage);
  CHECK(sim_says({"check"}).code == cli::usage);
  CHECK(sim_says({"import", "plan"}).code == cli::usage);
  CHECK(sim_says({"import", "plan", "--site", "north"}).code == cli::usage);
  CHECK(sim_says({"import", "plan", "--rollout", "r", "--site", "north"}).code == cli::usage);
  CHECK(sim_says({"import", "plan", "--rollout", "r", "--line", "-1bit"})
            .err.starts_with("lamina-sim: --line: "));
}
