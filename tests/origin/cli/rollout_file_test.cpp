#include "origin/cli/rollout_file.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::origin::cli;

namespace {

const std::string kPlan = R"(name = "debian-12.11"
layers = ["debian:12.11", "office:3"]
wan_budget = "after 2 h"
sites_at_once = 20

[[wave]]
name = "pilot"
devices = ["00112233445566778899aabbccddeeff"]
shares = [{ site = "north", percent = 10 }]
success = 100
failure = 0
soak = "2 h"

[[wave]]
sites = ["north", "south"]
warm = 80
)";

std::string with(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("rollout file: everything that a plan may say", "[cli]") {
  const auto plan = parse_rollout_file(kPlan, "f.toml");
  REQUIRE(plan);
  CHECK(plan->name == "debian-12.11");
  CHECK(plan->layers == std::vector<std::string>{"debian:12.11", "office:3"});
  CHECK(plan->wan_budget == "after 2 h");
  CHECK(plan->sites_at_once == 20);
  REQUIRE(plan->waves.size() == 2);
  const auto& pilot = plan->waves[0];
  CHECK(pilot.name == "pilot");
  CHECK(pilot.devices.size() == 1);
  CHECK(pilot.shares == std::vector<wire::RolloutShare>{{"north", 10}});
  CHECK((pilot.success_percent == 100 && pilot.failure_percent == 0 && pilot.warm_percent == 0));
  CHECK(pilot.soak_ms == 7'200'000);
  const auto& rest = plan->waves[1];
  CHECK(rest.sites == std::vector<std::string>{"north", "south"});
  CHECK((rest.success_percent == 90 && rest.failure_percent == 5 && rest.warm_percent == 80));
}

TEST_CASE("rollout file: what is wrong is named with its line", "[cli]") {
  struct Row {
    const char* from;
    const char* to;
    const char* line;
    const char* says;
  };
  const Row rows[] = {
      {"name = \"debian-12.11\"\n", "", "f.toml:1:", "'name' is missing"},
      {"sites_at_once = 20", "sites_at_once = 0", "f.toml:4:", "from 1 to 10000"},
      {"sites_at_once = 20", "sites_at_once = \"20\"", "f.toml:4:", "a whole number"},
      {"sites_at_once = 20", "sites_at_onze = 20", "f.toml:4:", "unknown key 'sites_at_onze'"},
      {"[\"debian:12.11\", \"office:3\"]", "\"debian:12.11\"", "f.toml:2:", "a list of texts"},
      {"\"office:3\"", "3", "f.toml:2:", "a text in quotes"},
      {"00112233", "0011", "f.toml:8: wave 1:", "32 hex digits"},
      {"percent = 10", "percent = 101", "f.toml:9: wave 1:", "from 1 to 100"},
      {", percent = 10", "", "f.toml:9: wave 1:", "'percent' is missing"},
      {"success = 100", "success = 99.5", "f.toml:10: wave 1:", "a whole number"},
      {"soak = \"2 h\"", "soak = \"a while\"", "f.toml:12: wave 1:", "a while"},
      {"sites = [\"north\", \"south\"]\n", "", "f.toml:14: wave 2:", "it names no sites"},
      {"warm = 80", "warmth = 80", "f.toml:16: wave 2:", "unknown key 'warmth'"},
      {"[[wave]]\nsites", "[[wave\nsites", "f.toml:14:", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.to);
    const auto plan = parse_rollout_file(with(kPlan, row.from, row.to), "f.toml");
    REQUIRE_FALSE(plan);
    CHECK(plan.error().kind() == ErrorKind::invalid);
    CHECK_THAT(plan.error().text(), Catch::StartsWith(row.line) && Catch::Contains(row.says));
  }
  CHECK_FALSE(parse_rollout_file("", "f.toml"));
  CHECK_FALSE(parse_rollout_file("wave = 3\nname = \"x\"\nlayers = []\n", "f.toml"));
}
