#include "shared/wire/retention.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::wire;

TEST_CASE("wire: a retention request names whom and what, or neither", "[wire]") {
  const RetentionRule rule{.newest = 1, .hourly = 24, .daily = 7, .weekly = 4, .monthly = 12};
  const auto all = parse_retention_request(to_json(RetentionRequest{.device = {}, .rule = rule}));
  REQUIRE(all);
  CHECK_FALSE(all->device);
  CHECK(all->rule == rule);
  const auto none = parse_retention_request("{}");
  REQUIRE(none);
  CHECK_FALSE(none->rule);
  const auto wrong = parse_retention_request(
      R"({"rule":{"newest":1,"hourly":-1,"daily":0,"weekly":0,"monthly":0}})");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().text().find("rule.hourly") != std::string::npos);
}

TEST_CASE("wire: a forget reply reads back", "[wire]") {
  ForgetReply reply{.dry_run = true, .snapshots = {}};
  reply.snapshots.push_back({{.id = {}, .number = 7, .reason = "schedule"}, {"newest", "daily"}});
  reply.snapshots.push_back({{.id = {}, .number = 6, .reason = "request"}, {}});
  const auto read = parse_forget_reply(to_json(reply));
  REQUIRE(read);
  CHECK(read->dry_run);
  REQUIRE(read->snapshots.size() == 2);
  CHECK(read->snapshots[0].kept_as == std::vector<std::string>{"newest", "daily"});
  CHECK(read->snapshots[1].snapshot.number == 6);
  CHECK_FALSE(parse_forget_request(R"({"dry_run":1})"));
}
