#include "origin/cli/capture_rules_file.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using origin::cli::parse_capture_rules;

TEST_CASE("capture rules file: rules in their order", "[cli]") {
  const auto rules = parse_capture_rules(R"(
[[rule]]
name = "app-data"
take = "keep"
paths = ["srv/app/data"]
[[rule]]
name = "app"
paths = ["srv/app", "opt/app*/log"]
[[rule]]
name = "conf"
take = "make-empty"
paths = ["etc/app.conf"]
)",
                                         "own.toml");
  REQUIRE(rules);
  CHECK(rules->decide("srv/app/data/x", false).take == image::Take::keep);
  CHECK(rules->decide("srv/app/x", false).rule == "app");
  CHECK(rules->decide("opt/app2/log/x", false).take == image::Take::leave_out);
  CHECK(rules->decide("etc/app.conf", false).take == image::Take::make_empty);
  CHECK(parse_capture_rules("", "own.toml"));
}

TEST_CASE("capture rules file: a mistake is named with its line", "[cli]") {
  const auto said = [](const char* text) {
    const auto rules = parse_capture_rules(text, "own.toml");
    REQUIRE_FALSE(rules);
    CHECK(rules.error().kind() == ErrorKind::invalid);
    return rules.error().text();
  };
  using Catch::Matchers::Contains;
  CHECK_THAT(said("[[rule]]\nname = \"a\"\n"), Contains("own.toml:1: 'paths' is missing"));
  CHECK_THAT(said("[[rule]]\nname = \"a\"\npaths = [\"/x\"]\n"), Contains("own.toml:1"));
  CHECK_THAT(said("[[rule]]\nname = \"a\"\ntake = \"x\"\npaths = [\"x\"]\n"),
             Contains("keep, leave-out, make-empty"));
  CHECK_THAT(said("[[rule]]\nnames = \"a\"\n"), Contains("own.toml:2: unknown key 'names'"));
  CHECK_THAT(said("rule = 3\n"), Contains("own.toml:1"));
  CHECK_THAT(said("[[rule]\n"), Contains("own.toml:1"));
  CHECK_THAT(said("[[rule]]\nname = \"a b\"\npaths = [\"x\"]\n"), Contains("own.toml:1"));
}
