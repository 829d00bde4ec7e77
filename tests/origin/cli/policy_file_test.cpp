#include "origin/cli/policy_file.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using origin::cli::parse_policy_file;
using origin::cli::policy_file;

namespace {

constexpr const char* kOffice = R"(
name = "office"
interval = "30 min"
volumes = ["srv/data", "home"]

[[unprotected]]
name = "caches"
paths = ["{cache}", "srv/**/*.tmp"]
except = ["{cache}/fonts"]

[[unprotected]]
name = "images"
paths = ["**/*.iso"]

[[user]]
name = "data"
paths = ["srv/data/*"]

[retention]
hourly = 24
daily = 7
)";

}  // namespace

TEST_CASE("policy file: read, and written so that it reads the same", "[cli]") {
  const auto policy = parse_policy_file(kOffice, "office.toml");
  if (!policy) FAIL(policy.error().text());
  CHECK(policy->name == "office");
  CHECK(policy->interval_ms == 1'800'000);
  CHECK(policy->rules.volumes == std::vector<std::string>{"srv/data", "home"});
  REQUIRE(policy->rules.unprotected.size() == 2);
  CHECK(policy->rules.unprotected[0].except == std::vector<std::string>{"{cache}/fonts"});
  REQUIRE(policy->rules.user.size() == 1);
  CHECK(policy->retention->daily == 7);
  const std::string text = policy_file({.policy = {.name = policy->name,
                                                   .version = 4,
                                                   .rules = policy->rules,
                                                   .interval_ms = policy->interval_ms},
                                        .retention = policy->retention});
  const auto again = parse_policy_file(text, "exported");
  if (!again) FAIL(again.error().text());
  CHECK(again->name == policy->name);
  CHECK(again->rules == policy->rules);
  CHECK(again->interval_ms == policy->interval_ms);
  CHECK(again->retention == policy->retention);
  CHECK(parse_policy_file("name = \"empty\"", "x"));
}

TEST_CASE("policy file: names of any kind come through", "[cli]") {
  const format::ProtectionRules rules{
      .unprotected = {{"odd", {"srv/a\"b\\c", "srv/tab\there", "srv/\xc3\xa4\x7f"}, {}}},
      .user = {}};
  const auto again =
      parse_policy_file(policy_file({.policy = {.name = "odd", .rules = rules}}), "x");
  if (!again) FAIL(again.error().text());
  CHECK(again->rules == rules);
}

TEST_CASE("policy file: a mistake is named with its line and what would be right", "[cli]") {
  struct Row {
    const char* text;
    const char* line;
    const char* why;
  };
  const Row rows[] = {
      {"interval = \"1 h\"", "p.toml:1:", "'name' is missing"},
      {"name = \"a\"\nunprotect = []", "p.toml:2:", "unprotected, user"},
      {"name = \"a\"\ninterval = 30", "p.toml:2:", "in quotes"},
      {"name = \"a\"\ninterval = \"30 s\"", "p.toml:2:", "1 minute to 31 days"},
      {"name = \"a\"\n[[user]]\nname = \"x\"", "p.toml:2:", "'paths' is missing"},
      {"name = \"a\"\n\n[[user]]\nname = \"x\"\npaths = [\"/srv\"]", "p.toml:3:", "srv/data"},
      {"name = \"a\"\n\n[[user]]\nname = \"x\"\npaths = [\"usr/*\"]",
       "p.toml:3:", "name the users' directories"},
      {"name = \"a\"\n[[unprotected]]\nname = \"x\"\npaths = [\"{hme}\"]", "p.toml:2:", "{home}"},
      {"name = \"a\"\n[[unprotected]]\nname = \"x\"\npaths = [\"**\"]",
       "p.toml:2:", "covers everything"},
      {"name = \"a\"\n[[user]]\nname = \"x\"\npaths = [\"srv\"]\n[[user]]\nname = "
       "\"x\"\npaths = [\"opt\"]",
       "p.toml:5:", "another name"},
      {"name = \"a\"\n[retention]\ndaily = -1", "p.toml:3:", "whole number"},
      {"name = \"a", "p.toml:1:", ""},
  };
  for (const Row& row : rows) {
    const auto policy = parse_policy_file(row.text, "p.toml");
    CAPTURE(row.text);
    REQUIRE_FALSE(policy);
    CHECK(policy.error().kind() == ErrorKind::invalid);
    CHECK_THAT(policy.error().text(), Catch::Contains(row.line) && Catch::Contains(row.why));
  }
}
