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

TEST_CASE("capture rules: patterns of any depth", "[image]") {
  const CaptureRules rules({{"list", Take::keep, "srv/**/keep.txt"},
                            {"temporary", Take::leave_out, "srv/**"},
                            {"objects", Take::leave_out, "**/*.o"}});
  CHECK(decide(rules, "srv", true) == "keep list");
  CHECK(decide(rules, "srv/a/b", true) == "keep list");
  CHECK(decide(rules, "srv/a/keep.txt") == "keep list");
  CHECK(decide(rules, "srv/a/x") == "leave-out temporary");
  CHECK(decide(rules, "usr/src/x.o") == "leave-out objects");
  CHECK(decide(rules, "usr/src", true) == "keep ");
}

TEST_CASE("capture rules: of a device with a policy its users' areas stay out", "[image]") {
  CaptureRules rules({{"mine", Take::keep, "srv/data"}});
  rules.protect(
      Protection::make({.unprotected = {}, .user = {{"data", {"srv/data/*"}, {"srv/data/shared"}}}})
          .value());
  CHECK(decide(rules, "srv/data/ann") == "leave-out data");
  CHECK(decide(rules, "srv/data/shared/x") == "keep mine");
  CHECK(decide(rules, "srv/data", true) == "keep mine");
}

TEST_CASE("capture rules: what to do has three names", "[image]") {
  CHECK(parse_take("make-empty") == Take::make_empty);
  CHECK_FALSE(parse_take("drop"));
}
