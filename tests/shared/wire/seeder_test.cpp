#include "shared/wire/seeder.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::wire;

namespace {

const std::string kPoll =
    R"({"address":"","port":8444,"version":"0.1","list_version":7,"holds":[],"held_bytes":1,)"
    R"("missing_bytes":2,"unread":0,"connections":3,"sent_bytes":4,"certificate_expires_ms":5,)"
    R"("trouble":"","of_a_newer_release":true})";

std::string with(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("wire: a seeder's poll reads back, and names what is wrong", "[wire]") {
  const auto poll = parse_seeder_poll_request(kPoll);
  REQUIRE(poll);
  CHECK(poll->port == 8444);
  CHECK(poll->list_version == 7);
  CHECK(to_json(*parse_seeder_poll_request(to_json(*poll))) == to_json(*poll));

  const auto names = [](const std::string& text, const std::string& field) {
    const auto wrong = parse_seeder_poll_request(text);
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().text().find(field) != std::string::npos);
  };
  names(with(kPoll, R"("port":8444)", R"("port":70000)"), "port");
  names(with(kPoll, R"("unread":0,)", ""), "unread");
  names(with(kPoll, R"("trouble":"")", R"("trouble":")" + std::string(1025, 'x') + '"'), "trouble");
  std::string list;
  for (std::size_t i = 0; i <= kSeederLayersMax; ++i)
    list += (i == 0 ? "\"" : ",\"") + std::string(64, '1') + '"';
  names(with(kPoll, "[]", '[' + list + ']'), "holds");
}

TEST_CASE("wire: a seeder's list of layers is left out while it is the same", "[wire]") {
  CHECK_FALSE(parse_seeder_poll_reply(to_json(SeederPollReply{.list_version = 3}))->layers);
  const auto none = parse_seeder_poll_reply(to_json(SeederPollReply{3, std::vector<LayerId>{}}));
  REQUIRE(none->layers);
  CHECK(none->layers->empty());
}
