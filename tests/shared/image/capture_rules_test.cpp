#include "shared/image/capture_rules.hpp"

#include <catch2/catch.hpp>

using namespace lamina::image;

namespace {

std::string decide(const CaptureRules& rules, std::string_view path, bool is_directory = false) {
  const auto decision = rules.decide(path, is_directory);
  return std::string(name_of(decision.take)) + ' ' + std::string(decision.rule);
}

}  // namespace

TEST_CASE("capture rules: the factory's come first and stay", "[image]") {
  const CaptureRules rules({{"mine", Take::keep, "etc/machine-id"}});
  CHECK(decide(rules, "etc/machine-id") == "leave-out machine-id");
  CHECK(decide(rules, "proc/1") == "leave-out proc");
  CHECK(rules.decide("proc/1", true).is_runtime);
  CHECK_FALSE(rules.decide("etc/machine-id", false).is_runtime);
  CHECK(decide(rules, "etc/passwd") == "keep ");
}

TEST_CASE("capture rules: of the own rules the first that covers a path decides", "[image]") {
  const CaptureRules rules({{"data", Take::keep, "srv/app/data"},
                            {"app", Take::leave_out, "srv/app"},
                            {"conf", Take::make_empty, "etc/app/*.conf"},
                            {"spool", Take::make_empty, "var/spool/app"}});
  CHECK(decide(rules, "srv/app/bin") == "leave-out app");
  CHECK(decide(rules, "srv/app/data/x") == "keep data");
  // The way to what is kept stays.
  CHECK(decide(rules, "srv/app", true) == "keep data");
  CHECK(decide(rules, "srv", true) == "keep data");
  CHECK(decide(rules, "etc/app/a.conf") == "make-empty conf");
  CHECK(decide(rules, "etc/app/a.txt") == "keep ");
  CHECK(decide(rules, "var/spool/app", true) == "keep spool");
  CHECK(decide(rules, "var/spool/app/job") == "leave-out spool");
  CHECK(decide(rules, "", true) == "keep ");
  CHECK(rules.names() == std::vector<std::string>{"factory", "data", "app", "conf", "spool"});
}

TEST_CASE("capture rules: patterns that mean too much or nothing are refused", "[image]") {
  for (const char* pattern : {"", "*", "/etc", "etc/", "a//b", "../x", "a/./b", "srv/**/x"}) {
    CAPTURE(pattern);
    CHECK_FALSE(check_pattern(pattern));
  }
  for (const char* pattern : {"a", "*/b", "srv/*", "a*b/c"}) {
    CAPTURE(pattern);
    CHECK(check_pattern(pattern));
  }
  CHECK(parse_take("make-empty") == Take::make_empty);
  CHECK_FALSE(parse_take("drop"));
}
