#include <catch2/catch.hpp>

#include "shared/wire/admin.hpp"
#include "shared/wire/device_pages.hpp"
#include "shared/wire/enrol.hpp"
#include "shared/wire/error.hpp"
#include "shared/wire/ids.hpp"
#include "shared/wire/node.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/support/ids.hpp"

using namespace lamina;
using namespace lamina::wire;
using lamina::tests::id_of;

namespace {

const std::string kPoll =
    R"({"target_sequence":3,"applied_sequence":2,"site_version":0,"applied":[],"wants":[],)"
    R"("lan_address":"10.0.0.2","swarm_port":8445,"wait_ms":0,"node_version":"0.1"})";

std::string with(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("wire: a poll reply reads back as it was written", "[wire]") {
  PollReply reply;
  reply.status = DeviceStatus::assigned;
  reply.target = to_buffer(std::string_view("signed"));
  reply.site = SiteView{"shop", 7, {{id_of<DeviceId>(2), "10.0.0.2", 8445}}};
  reply.lease = LeaseView{id_of<DeviceId>(1), 9, to_buffer(std::string_view("tok")), 4000, {"a:1"}};
  reply.server_time_ms = 1;
  const auto back = parse_poll_reply(to_json(reply));
  REQUIRE(back);
  CHECK(back->status == DeviceStatus::assigned);
  CHECK(back->target == reply.target);
  CHECK(back->site->peers == reply.site->peers);
  CHECK(back->lease->holder == reply.lease->holder);
  CHECK(back->lease->token == reply.lease->token);
  CHECK(back->lease->seeders == reply.lease->seeders);
}

TEST_CASE("wire: a lease names its shares and all holders, or is the only one", "[wire]") {
  LeaseReply reply{LeaseView{.holder = id_of<DeviceId>(1), .epoch = 9}};
  const auto alone = parse_lease_reply(to_json(reply));
  REQUIRE(alone);
  CHECK_FALSE(alone->lease->shares);
  CHECK(holders_of(*alone->lease) == std::vector{id_of<DeviceId>(1)});
  reply.lease->shares = ShareSet::from_bits(0x811);
  reply.lease->holders = {id_of<DeviceId>(2), id_of<DeviceId>(1)};
  const std::string text = to_json(reply);
  const auto back = parse_lease_reply(text);
  REQUIRE(back);
  CHECK(back->lease->shares == reply.lease->shares);
  CHECK(holders_of(*back->lease) == reply.lease->holders);
  for (const char* shares : {"[]", "[12]", "[4,0]", "[4,4]", "[-1]", "[0.5]", "3", "\"all\""}) {
    INFO(shares);
    const auto wrong = parse_lease_reply(with(text, "[0,4,11]", shares));
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().text().find("lease.shares") != std::string::npos);
  }
}

TEST_CASE("wire: absent options stay absent", "[wire]") {
  const auto back = parse_poll_reply(to_json(PollReply{}));
  REQUIRE(back);
  CHECK_FALSE(back->target);
  CHECK_FALSE(back->site);
  CHECK_FALSE(back->lease);
}

TEST_CASE("wire: a policy travels whole, and a poll says which one it knows", "[wire]") {
  PollReply reply;
  reply.policy = Policy{.id = "one",
                        .name = "office",
                        .version = 3,
                        .rules = {.unprotected = {{"a", {"x", "y"}, {"x/z"}}},
                                  .user = {{"b", {"z"}, {}}},
                                  .volumes = {"srv"}},
                        .interval_ms = 60'000};
  reply.snooze = Snooze{2, 5};
  auto back = parse_poll_reply(to_json(reply));
  REQUIRE(back);
  CHECK(back->policy == reply.policy);
  CHECK(back->snooze == reply.snooze);
  CHECK(parse_policy(to_json(*reply.policy)).value() == *reply.policy);
  // Nodes and origins of before know no volumes: the field is there only where it says something.
  CHECK(to_json(*reply.policy).find("volumes") != std::string::npos);
  CHECK(to_json(Policy{}).find("volumes") == std::string::npos);
  reply.policy->rules.user.resize(format::kProtectionRulesMax + 1);
  CHECK_FALSE(parse_poll_reply(to_json(reply)));
  CHECK_FALSE(parse_poll_reply(to_json(PollReply{}))->policy);
  const auto poll =
      parse_poll_request(with(kPoll, "}", R"(,"policy":"","snooze":{"number":1,"until_ms":2}})"));
  REQUIRE(poll);
  CHECK(poll->policy == "");
  CHECK(poll->snooze == Snooze{1, 2});
  CHECK_FALSE(parse_poll_request(kPoll)->policy);
}

TEST_CASE("wire: a site's bandwidth rules travel with their name, within their bound", "[wire]") {
  PollReply reply;
  reply.site = SiteView{"shop", 7, {}};
  reply.site->rules_version = ~std::uint64_t{0};
  reply.site->rules = std::string(static_cast<std::size_t>(kSiteRulesMax.count), 'x');
  const auto back = parse_poll_reply(to_json(reply));
  REQUIRE(back);
  CHECK(back->site->rules_version == reply.site->rules_version);
  CHECK(back->site->rules == reply.site->rules);
  *reply.site->rules += 'x';
  CHECK_FALSE(parse_poll_reply(to_json(reply)));
  const auto poll = parse_poll_request(with(kPoll, "}", R"(,"rules_version":5})"));
  REQUIRE(poll);
  CHECK(poll->rules_version == 5);
  CHECK_FALSE(parse_poll_request(kPoll)->rules_version);
}

TEST_CASE("wire: bytes by source and disk of a poll read back, and are bounded", "[wire]") {
  auto poll = parse_poll_request(kPoll);
  REQUIRE(poll);
  CHECK_FALSE(poll->bytes);
  poll->bytes = ByteCounts{7, {{"lan-peer", 5}, {"origin-by-lease", 0}}};
  poll->disk = DiskSpace{1, 2};
  const auto back = parse_poll_request(to_json(*poll));
  REQUIRE(back);
  CHECK(back->bytes == poll->bytes);
  CHECK(back->disk == poll->disk);
  for (int i = 0; i < 17; ++i) poll->bytes->by_source[std::to_string(i)] = i;
  CHECK_FALSE(parse_poll_request(to_json(*poll)));
  CHECK_FALSE(parse_byte_counts(R"({"since_ms":1,"by_source":{"lan-peer":-1}})"));
}

TEST_CASE("wire: a wrong field is refused by name", "[wire]") {
  REQUIRE(parse_poll_request(kPoll));
  const auto [from, to, names] = GENERATE(table<const char*, const char*, const char*>({
      {R"("wait_ms":0,)", "", "'wait_ms' is missing"},
      {R"("wait_ms":0)", R"("wait_ms":-1)", "'wait_ms'"},
      {R"("wait_ms":0)", R"("wait_ms":1.5)", "'wait_ms'"},
      {R"("swarm_port":8445)", R"("swarm_port":65536)", "'swarm_port'"},
      {R"("swarm_port":8445)", R"("swarm_port":"8445")", "'swarm_port'"},
      {R"("wants":[])", R"("wants":{})", "'wants'"},
      {R"("wants":[])", R"("wants":[{"layer":"00","missing_bytes":1}])", "'wants[0].layer'"},
      {R"("wants":[])", R"("wants":[7])", "'wants[0]'"},
      {R"("applied":[])", R"("applied":null)", "'applied'"},
  }));
  const auto request = parse_poll_request(with(kPoll, from, to));
  REQUIRE_FALSE(request);
  CHECK(request.error().kind() == ErrorKind::invalid);
  CHECK_THAT(request.error().text(), Catch::Contains(names));
}

TEST_CASE("wire: unknown fields are ignored", "[wire]") {
  CHECK(parse_poll_request(with(kPoll, "{", R"({"colour":"blue",)")));
}

TEST_CASE("wire: text that is no JSON object is refused", "[wire]") {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("7"), deep,
        with(kPoll, "[]", std::string(5000, '[') + std::string(5000, ']'))})
    CHECK_FALSE(parse_poll_request(text));
}

TEST_CASE("wire: bounds of texts, buffers and maps hold", "[wire]") {
  EnrolRequest request{.token = std::string(257, 'x')};
  CHECK_FALSE(parse_enrol_request(to_json(request)));
  request.token.pop_back();
  CHECK(parse_enrol_request(to_json(request)));
  for (int i = 0; i < 33; ++i) request.attributes[std::to_string(i)] = "v";
  CHECK_FALSE(parse_enrol_request(to_json(request)));

  EnrolReply reply{.target_key = Buffer(33)};
  CHECK_FALSE(parse_enrol_reply(to_json(reply)));
}

TEST_CASE("wire: a name that is not UTF-8 does not break the message", "[wire]") {
  EnrolRequest request{.host_name = "\xff\xfe"};
  CHECK(parse_enrol_request(to_json(request)));
}

TEST_CASE("wire: a device listing carries its last report", "[wire]") {
  DeviceInfo device{.id = id_of<DeviceId>(1), .target = {"debian:1.0"}};
  device.last_report = Report{.operation = "apply", .ok = true};
  device.last_report->bytes_by_source["lan"] = 5;
  const auto back = parse_device_list(to_json(DeviceList{{device}}));
  REQUIRE(back);
  REQUIRE(back->devices.size() == 1);
  CHECK(back->devices[0].target == device.target);
  CHECK(back->devices[0].last_report->bytes_by_source.at("lan") == 5);
}

TEST_CASE("wire: all devices come page by page, in order", "[wire]") {
  const auto device = [](int n) { return DeviceInfo{.id = id_of<DeviceId>(n)}; };
  // What an origin answers, and which devices are seen; 0: it failed.
  const auto seen = [&](std::vector<DeviceList> pages) {
    std::vector<std::string> paths;
    std::vector<DeviceId> ids;
    const auto get = [&](const std::string& path) -> Result<std::string> {
      paths.push_back(path);
      if (paths.size() > pages.size()) return fail(ErrorKind::unavailable, "no further page");
      return to_json(pages[paths.size() - 1]);
    };
    auto done = for_each_device(get, [&](DeviceInfo&& one) { ids.push_back(one.id); });
    for (std::size_t i = 1; i < paths.size(); ++i)
      CHECK(paths[i] == "/v1/devices?after=" + pages[i - 1].devices.back().id.hex());
    CHECK(paths.front() == "/v1/devices?after=");
    return std::pair(std::move(done), ids.size());
  };
  const DeviceList first{{device(1), device(2)}, true}, last{{device(3)}, false};
  CHECK(seen({first, last}).second == 3);
  CHECK(seen({first, last}).first);
  CHECK(seen({{{device(1), device(2), device(3)}, {}}}).second == 3);  // An origin without pages.
  CHECK(seen({DeviceList{}}).first);
  CHECK(seen({first}).first.error().kind() == ErrorKind::unavailable);
  CHECK(seen({first, first}).first.error().kind() == ErrorKind::corrupt);
  CHECK(seen({DeviceList{{}, true}}).first.error().kind() == ErrorKind::corrupt);
}

TEST_CASE("wire: an error survives the trip with its kind", "[wire]") {
  const Error error(ErrorKind::refused, "device 12 was rejected");
  const Error back = parse_error(403, to_json(error));
  CHECK(back.kind() == ErrorKind::refused);
  CHECK(back.text() == error.text());
  CHECK(parse_error(502, "<html>").kind() == ErrorKind::unavailable);
  CHECK(parse_error(404, "").kind() == ErrorKind::not_found);
}

TEST_CASE("wire: id lists", "[wire]") {
  const std::vector<ChunkId> ids{id_of<ChunkId>(1), id_of<ChunkId>(2)};
  CHECK(parse_ids(to_bytes(ids)) == ids);
  CHECK_FALSE(parse_ids(Buffer(33)));
  CHECK_FALSE(parse_ids(Buffer(static_cast<std::size_t>(kIdListMax.count) + 32)));
}

TEST_CASE("wire: what relays and their guests say reads back as it was written", "[wire]") {
  PollRequest request;
  request.relay_port = 8445;
  request.relayed = {{id_of<DeviceId>(1), id_of<SnapshotId>(2), 3, 4, 5}};
  request.handed = HandedSnapshot{id_of<SnapshotId>(6), 7};
  const auto back = parse_poll_request(to_json(request));
  REQUIRE(back);
  CHECK(back->relay_port == request.relay_port);
  CHECK(back->relayed == request.relayed);
  CHECK(back->handed->snapshot == request.handed->snapshot);
  CHECK(back->handed->sequence == 7);
  PollReply reply;
  reply.site = SiteView{"shop", 7, {{id_of<DeviceId>(2), "10.0.0.2", 8444, 8445}}};
  reply.relay_key = Buffer(32);
  reply.handed = "at the site";
  const auto answer = parse_poll_reply(to_json(reply));
  REQUIRE(answer);
  CHECK(answer->site->peers == reply.site->peers);
  CHECK(answer->relay_key == reply.relay_key);
  CHECK(answer->handed == reply.handed);
  reply.relay_key = Buffer(33);
  CHECK_FALSE(parse_poll_reply(to_json(reply)));
  // Devices of an earlier release say nothing of all this.
  const auto old = parse_poll_request(kPoll);
  REQUIRE(old);
  CHECK_FALSE(old->relay_port);
  CHECK_FALSE(old->handed);
  const auto parcel = parse_parcel_reply(to_json(ParcelReply{"refused", "why"}));
  REQUIRE(parcel);
  CHECK(parcel->state == "refused");
  CHECK(parcel->text == "why");
}

TEST_CASE("wire: settings of a reflector, and what it says of itself, read back", "[wire]") {
  PollReply reply;
  reply.reflector = ReflectorSettings{.version = 4,
                                      .mode = "suspended",
                                      .connections = 20,
                                      .cache_bytes = 1 << 30,
                                      .networks = {"10.7.0.0/16"},
                                      .rejected = {id_of<DeviceId>(3)},
                                      .commands = {{7, "sync"}, {8, "rebuild"}},
                                      .last_command = 8};
  reply.site = SiteView{"shop", 7, {{id_of<DeviceId>(2), "10.0.0.2", 8445}}};
  reply.site->peers[0].serves = false;
  const auto back = parse_poll_reply(to_json(reply));
  REQUIRE(back);
  CHECK(back->reflector == reply.reflector);
  CHECK(back->site->peers == reply.site->peers);
  CHECK_FALSE(parse_poll_reply(to_json(PollReply{}))->reflector);
  for (int i = 0; i < 15; ++i) reply.reflector->commands.push_back({9, "sync"});
  CHECK_FALSE(parse_poll_reply(to_json(reply)));

  auto poll = parse_poll_request(kPoll);
  REQUIRE(poll);
  CHECK_FALSE(poll->cache);
  poll->settings_version = 4;
  poll->command_done = 6;
  poll->cache = CacheState{5, 4, 1, 0};
  poll->serving = ServingState{3, 2, 1, 100};
  poll->kept = {id_of<LayerId>(1)};
  const auto said = parse_poll_request(to_json(*poll));
  REQUIRE(said);
  CHECK(said->settings_version == 4);
  CHECK(said->command_done == 6);
  CHECK(said->cache == poll->cache);
  CHECK(said->serving == poll->serving);
  CHECK(said->kept == poll->kept);
}

TEST_CASE("wire: a reflector's request says only what it has", "[wire]") {
  const auto request = parse_reflector_request(R"({"action":"configure","networks":[]})");
  REQUIRE(request);
  CHECK(request->networks == std::vector<std::string>{});
  CHECK_FALSE(request->connections);
  CHECK_FALSE(parse_reflector_request(R"({"action":"configure","connections":-1})"));
}
