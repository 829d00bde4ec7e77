#include <catch2/catch.hpp>

#include "origin/api/api.hpp"
#include "shared/wire/policies.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;

namespace {

// A site with one device, in seconds since the test began.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  Sites sites{catalog, key, {}};
  Api api{catalog,
          sites,
          {net::make_ca("api").value(), net::make_ca("swarm").value(), key, {key.public_key()}}};
  std::string token = secret({.name = "root", .kind = "admin", .ttl_ms = 1'000'000});
  DeviceId ann;

  Bench() {
    REQUIRE(catalog.add_site({"test", at(0).wall}, {.name = "shop"}));
    const wire::EnrolRequest message{
        .token =
            secret({.name = "t", .kind = "enrol", .uses = 1, .ttl_ms = 1'000'000, .site = "shop"}),
        .csr_pem = net::make_key_and_request().value().csr_pem};
    net::Request request{.method = "POST", .path = "/v1/enroll", .body = wire::to_json(message)};
    ann =
        wire::parse_enrol_reply(send(1, std::move(request))->response.value().body).value().device;
  }
  static Moment at(int t) {
    return {Instant{std::chrono::seconds{t}}, WallTime{t * std::int64_t{1'000'000'000}}};
  }
  std::string secret(const wire::TokenRequest& request) {
    return catalog.create_token({"test", at(0).wall}, request).value().secret;
  }
  struct Call {
    std::optional<net::Response> response;
  };
  std::shared_ptr<Call> send(int t, net::Request request) {
    request.headers.add(std::string(wire::kProtocolHeader), "1");
    auto call = std::make_shared<Call>();
    api.handle(
        request, [call](net::Response r) { call->response = std::move(r); }, at(t));
    api.wake(at(t));
    return call;
  }
  net::Response admin(int t, const std::string& method, const std::string& path,
                      std::string body = "") {
    net::Request request{.method = method, .path = path, .body = std::move(body)};
    request.headers.add("Authorization", "Bearer " + token);
    return send(t, std::move(request))->response.value();
  }
  std::shared_ptr<Call> send_poll(int t, wire::PollRequest poll) {
    poll.lan_address = "10.0.0.1";
    net::Request request{.method = "POST", .path = "/v1/node/poll", .body = wire::to_json(poll)};
    request.peer.device = ann;
    return send(t, std::move(request));
  }
  // One that waits once it knows all there is.
  wire::PollRequest waiting(int t, const std::optional<std::string>& policy,
                            std::optional<wire::Snooze> snooze = std::nullopt) {
    wire::PollRequest poll{.policy = policy, .snooze = snooze};
    poll.wait_ms = 50'000;
    poll.site_version = sites.view("shop", ann, at(t)).site.version;
    return poll;
  }
  wire::PollReply said(const std::shared_ptr<Call>& call) {
    REQUIRE(call->response);
    return wire::parse_poll_reply(call->response->body).value();
  }
  void set(int t, const std::string& path) {
    const wire::PolicyRequest request{.name = "office",
                                      .rules = {.unprotected = {{"some", {path}, {}}}, .user = {}}};
    REQUIRE(admin(t, "POST", "/v1/policies", wire::to_json(request)).status == 200);
  }
  void assign(int t) {
    const wire::PolicyAssignRequest request{.policy = "office", .devices = {ann}};
    REQUIRE(admin(t, "POST", "/v1/policies/assign", wire::to_json(request)).status == 200);
  }
  wire::DevicePolicy shown(int t) {
    return wire::parse_device_policy(admin(t, "GET", "/v1/devices/" + ann.hex() + "/policy").body)
        .value();
  }
};

}  // namespace

TEST_CASE("policies: a waiting poll brings a new one at once, and once", "[origin]") {
  Bench bench;
  bench.send_poll(2, {.policy = ""});
  const auto stale = bench.send_poll(3, bench.waiting(3, ""));  // Of a process that was killed.
  const auto first = bench.send_poll(3, bench.waiting(3, ""));
  REQUIRE_FALSE(first->response);
  bench.set(4, "srv/x");
  CHECK_FALSE(first->response);
  bench.assign(5);
  const auto policy = bench.said(first).policy;
  REQUIRE(policy);
  CHECK(bench.said(stale).policy == policy);
  CHECK(policy->name == "office");
  CHECK(policy->rules.unprotected.front().paths == std::vector<std::string>{"srv/x"});
  CHECK(bench.shown(5).held == false);

  // It could not take it: that is no reason to answer without end, but the answer has it.
  const auto second = bench.send_poll(6, bench.waiting(6, ""));
  CHECK_FALSE(second->response);
  CHECK(bench.said(bench.send_poll(7, {.policy = ""})).policy == policy);

  const auto third = bench.send_poll(8, bench.waiting(8, policy->id));
  CHECK_FALSE(third->response);
  CHECK(bench.shown(8).held == true);
  CHECK(bench.shown(8).by == "device");
  bench.set(9, "srv/y");
  CHECK(bench.said(third).policy->version == 2);
}

TEST_CASE("policies: a node that knows none is told of none", "[origin]") {
  Bench bench;
  bench.set(2, "srv/x");
  bench.assign(2);
  REQUIRE(bench
              .admin(2, "POST", "/v1/devices/" + bench.ann.hex() + "/snooze",
                     wire::to_json(wire::SnoozeRequest{60'000}))
              .status == 200);
  const auto reply = bench.said(bench.send_poll(3, {}));
  CHECK_FALSE(reply.policy);
  CHECK_FALSE(reply.snooze);
  CHECK_FALSE(bench.send_poll(4, bench.waiting(4, std::nullopt))->response);
}

TEST_CASE("snooze: a waiting poll brings it, and what the device says is shown", "[origin]") {
  Bench bench;
  bench.send_poll(2, {.policy = "", .snooze = wire::Snooze{}});
  const auto waiting = bench.send_poll(3, bench.waiting(3, "", wire::Snooze{}));
  REQUIRE_FALSE(waiting->response);
  const std::string path = "/v1/devices/" + bench.ann.hex();
  const auto answer =
      bench.admin(4, "POST", path + "/snooze", wire::to_json(wire::SnoozeRequest{60'000}));
  REQUIRE(answer.status == 200);
  const auto snooze = wire::parse_snooze(answer.body).value();
  CHECK(snooze.until_ms == 64'000);
  CHECK(bench.said(waiting).snooze == snooze);
  const auto device = [&](int t) {
    return wire::parse_device_info(bench.admin(t, "GET", path).body).value();
  };
  CHECK_FALSE(device(5).snoozed_until_ms);
  CHECK_FALSE(bench.send_poll(6, bench.waiting(6, "", snooze))->response);
  CHECK(device(6).snoozed_until_ms == 64'000);
  CHECK(device(6).policy == "factory");
  CHECK(bench
            .admin(7, "POST", path + "/snooze",
                   wire::to_json(wire::SnoozeRequest{std::int64_t{1} << 62}))
            .status == 400);
}

TEST_CASE("policies: a dry run says who would get it", "[origin]") {
  Bench bench;
  bench.set(2, "srv/x");
  const wire::PolicyAssignRequest request{.policy = "office", .devices = {bench.ann}};
  const auto answer = bench.admin(3, "POST", "/v1/dry-run/policies/assign", wire::to_json(request));
  REQUIRE(answer.status == 200);
  const auto reply = wire::parse_policy_assign_reply(answer.body).value();
  CHECK(reply.devices == std::vector<DeviceId>{bench.ann});
  CHECK(reply.policies == std::vector<std::string>{"office"});
  CHECK(bench.shown(4).by == "factory");
  for (const char* path : {"/v1/policies/none", "/v1/policies/office/versions/2",
                           "/v1/policies/office/versions/x", "/v1/policies/office/other"})
    CHECK(bench.admin(5, "GET", path).status >= 400);
  CHECK(bench.admin(5, "GET", "/v1/policies/office/versions/1").status == 200);
  CHECK(bench.admin(6, "DELETE", "/v1/policies/office").status == 200);
}
