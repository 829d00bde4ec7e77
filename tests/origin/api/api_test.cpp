#include "origin/api/api.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "shared/format/record.hpp"
#include "shared/wire/device_life.hpp"
#include "shared/wire/device_pages.hpp"
#include "shared/wire/protocol.hpp"
#include "shared/wire/retention.hpp"
#include "shared/wire/rollout.hpp"
#include "tests/support/exposition_check.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;

namespace {

// Speaks to the API in seconds since the test began, as a device, an administrator or a stranger.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  Sites sites{catalog, key, {}};
  net::KeyAndRequest device_key = net::make_key_and_request().value();
  Api api{catalog,
          sites,
          {net::make_ca("api").value(), net::make_ca("swarm").value(), key, {key.public_key()}}};
  std::string token = create_token({.name = "root", .kind = "admin", .ttl_ms = 1'000'000});

  static Moment at(int t) {
    return {Instant{std::chrono::seconds{t}}, WallTime{t * std::int64_t{1'000'000'000}}};
  }
  std::string create_token(const wire::TokenRequest& request) {
    return catalog.create_token({"test", at(0).wall}, request).value().secret;
  }
  struct Call {
    std::optional<net::Response> response;
  };
  std::shared_ptr<Call> send(int t, net::Request request) {
    request.headers.add(std::string(wire::kProtocolHeader), "1");
    auto call = std::make_shared<Call>();
    api.handle(
        request,
        [call](net::Response response) {
          REQUIRE_FALSE(call->response);
          call->response = std::move(response);
        },
        at(t));
    api.wake(at(t));
    return call;
  }
  net::Response ask(int t, net::Request request) {
    return send(t, std::move(request))->response.value();
  }
  net::Response admin(const std::string& method, const std::string& path, std::string body = "",
                      int t = 1) {
    net::Request request{.method = method, .path = path, .body = std::move(body)};
    request.headers.add("Authorization", "Bearer " + token);
    return ask(t, std::move(request));
  }
  net::Request as(const DeviceId& id, const std::string& path, std::string body) {
    net::Request request{.method = "POST", .path = path, .body = std::move(body)};
    request.peer.device = id;
    return request;
  }
  DeviceId enrol(const std::string& site) {
    const auto secret = create_token({.name = "t" + std::to_string(table.rows().size()),
                                      .kind = "enrol",
                                      .uses = 1,
                                      .ttl_ms = 1000'000,
                                      .site = site});
    const wire::EnrolRequest message{.token = secret, .csr_pem = device_key.csr_pem};
    const auto response =
        ask(1, {.method = "POST", .path = "/v1/enroll", .body = wire::to_json(message)});
    REQUIRE(response.status == 201);
    return wire::parse_enrol_reply(response.body).value().device;
  }
  std::string poll(std::uint64_t site_version, std::int64_t wait_ms, std::uint64_t target = 0) {
    return wire::to_json(wire::PollRequest{
        .target_sequence = target, .site_version = site_version, .wait_ms = wait_ms});
  }
  void publish_base() {
    REQUIRE(catalog.add_layer({"test", at(0).wall},
                              {.id = LayerId::parse(std::string(64, '1')).value(),
                               .name = "os",
                               .version = "1.0",
                               .kind = "base"},
                              {}));
  }
};

std::string renewal(const net::KeyAndRequest& key) {
  return wire::to_json(wire::RenewRequest{key.csr_pem});
}

}  // namespace

TEST_CASE("api: nothing of the administrator's without a good bearer token", "[origin]") {
  Bench bench;
  CHECK(bench.ask(1, {.method = "GET", .path = "/health"}).status == 200);
  for (const char* path : {"/v1/devices", "/v1/tokens", "/v1/audit", "/v1/layers", "/v1/cvds",
                           "/v1/sites", "/v1/nothing", "/"}) {
    INFO(path);
    CHECK(bench.ask(1, {.method = "GET", .path = path}).status == 401);
    net::Request wrong{.method = "GET", .path = path};
    wrong.headers.add("Authorization", "Bearer " + std::string(64, '0'));
    CHECK(bench.ask(1, wrong).status == 401);
    CHECK(bench.admin("GET", path, "", 2000).status == 401);  // Expired.
  }
  CHECK(bench.admin("GET", "/v1/devices").status == 200);
  CHECK(bench.admin("GET", "/v1/nothing").status == 404);
}

TEST_CASE("api: a dry run answers as the call would, and changes nothing", "[origin]") {
  Bench bench;
  const auto post = [&](const std::string& path, std::string body) {
    return bench.admin("POST", path, std::move(body));
  };
  REQUIRE(post("/v1/sites", wire::to_json(wire::SiteRequest{"shop", ""})).status == 201);
  const auto id = bench.enrol("shop");
  const auto waiting = bench.enrol("");
  bench.publish_base();
  REQUIRE(post("/v1/rollouts",
               wire::to_json(wire::RolloutRequest{
                   .name = "spring", .layers = {"os:1.0"}, .waves = {{.sites = {"shop"}}}}))
              .status == 201);
  const std::string device = "/devices/" + id.hex(), layer = "/layers/" + std::string(64, '1');
  const wire::CollectionRequest tills{.name = "tills", .filter = "site = shop"};
  struct Row {
    const char* method;
    std::string path;
    std::string body;
  };
  // In an order in which all of them can be carried out, one after the other.
  const std::vector<Row> rows = {
      {"POST", "/sites", wire::to_json(wire::SiteRequest{"depot", ""})},
      {"POST", "/sites/shop/appoint", wire::to_json(wire::AppointRequest{false})},
      {"POST", "/sites/shop/transport", wire::to_json(wire::TransportRequest{"https"})},
      {"POST", "/sites/shop/networks",
       wire::to_json(wire::SiteNetworks{.subnets = {"10.0.0.0/8"}, .publics = {}})},
      {"POST", "/sites/shop/reflectors", wire::to_json(wire::ReflectorsRequest{.count = 2})},
      {"PUT", "/rules", wire::to_json(wire::RuleSet{",,100,,00:00,24:00,*\n"})},
      {"PUT", "/retention", wire::to_json(wire::RetentionRequest{.rule = {{.daily = 7}}})},
      {"POST", "/collections", wire::to_json(tills)},
      {"POST", "/collections/tills",
       wire::to_json(wire::CollectionRequest{.name = "tills", .filter = "site = depot"})},
      {"DELETE", "/collections/tills", ""},
      {"POST", "/devices/" + waiting.hex() + "/assign", wire::to_json(wire::PlaceRequest{"shop"})},
      {"POST", device + "/reflector", wire::to_json(wire::ReflectorRequest{.action = "suspend"})},
      {"POST", "/rollouts",
       wire::to_json(wire::RolloutRequest{
           .name = "autumn", .layers = {"os:1.0"}, .waves = {{.sites = {"shop"}}}})},
      {"POST", "/rollouts/spring/start", "{}"},
      {"POST", "/rollouts/spring/stop", "{}"},
      {"POST", "/rollouts/autumn/stop", "{}"},
      {"POST", "/assignments",
       wire::to_json(wire::AssignmentRequest{.site = "shop", .layers = {"os:1.0"}})},
      {"POST", "/assignments/change",
       wire::to_json(
           wire::AssignmentRequest{.site = "shop", .remove = std::vector<std::string>{"os"}})},
      {"DELETE", layer, ""},
      {"POST", "/tokens",
       wire::to_json(wire::TokenRequest{.name = "ann", .kind = "admin", .ttl_ms = 1000})},
      {"DELETE", "/tokens/ann", ""},
      {"POST", device + "/reference", wire::to_json(wire::ReferenceRequest{true})},
      {"PUT", "/quotas",
       wire::to_json(wire::QuotaRequest{.device = id, .rule = {{.hard_snapshots = 9}}})},
      {"POST", "/cvds/" + id.hex() + "/archive", wire::to_json(wire::ArchiveRequest{true})},
      {"POST", "/cvds/" + id.hex() + "/reassign", wire::to_json(wire::MoveRequest{waiting})},
      {"POST", "/cvds/" + id.hex() + "/delete", "{}"},
      {"POST", device + "/reject", "{}"},
      {"POST", "/devices/" + waiting.hex() + "/decommission",
       wire::to_json(wire::DecommissionRequest{"archive"})}};
  for (const Row& row : rows) {
    INFO(row.method << ' ' << row.path);
    const auto before = bench.table.rows();
    const auto rehearsed = bench.admin(row.method, "/v1/dry-run" + row.path, row.body);
    CHECK(bench.table.rows() == before);
    const auto real = bench.admin(row.method, "/v1" + row.path, row.body);
    CHECK(real.status < 300);
    CHECK(rehearsed.status == real.status);
    CHECK(bench.table.rows() != before);
    if (row.path.starts_with("/rollouts/")) {  // What its wave does then is not rehearsed.
      CHECK(wire::parse_rollout_info(rehearsed.body)->phase ==
            wire::parse_rollout_info(real.body)->phase);
      continue;
    }
    if (!row.path.ends_with("tokens")) {
      CHECK(rehearsed.body == real.body);
      continue;
    }
    CHECK(wire::parse_token_reply(rehearsed.body)->secret.empty());
    CHECK_FALSE(wire::parse_token_reply(real.body)->secret.empty());
  }
  // Who knows whole stacks only must not be asked for changes.
  const wire::AssignmentRequest change{.site = "shop", .add = std::vector<std::string>{"os:1.0"}};
  CHECK(post("/v1/assignments", wire::to_json(change)).status == 400);
  // A mistake is answered alike, and reads are no rehearsals: they would leave no trace.
  for (const char* path : {"/v1/assignments", "/v1/dry-run/assignments"})
    CHECK(post(path, wire::to_json(wire::AssignmentRequest{.site = "none"})).status == 404);
  CHECK(bench.admin("GET", "/v1/dry-run/cvds").status == 404);
  CHECK(bench.admin("GET", "/v1/dry-run/devices").status == 404);
  CHECK(post("/v1/dry-run/cvds/" + id.hex() + "/forget", R"({"dry_run":true})").status == 404);
}

TEST_CASE("api: devices come in pages that fit into an answer", "[origin]") {
  Bench bench;
  const auto fill = [&](int count, std::size_t bytes_each) {
    for (int n = 1; n <= count; ++n) {
      const std::string digits = std::to_string(n);
      wire::DeviceInfo device{
          .id = DeviceId::parse(std::string(32 - digits.size(), '0') + digits).value()};
      for (std::size_t at = 0; at < bytes_each; at += 1000)
        device.attributes[std::to_string(at)] = std::string(1000, 'x');
      bench.table.rows().insert_or_assign("device/" + device.id.hex(), wire::to_json(device));
    }
  };
  // How many devices each page has, until there is no more.
  const auto pages = [&] {
    std::vector<std::size_t> sizes;
    std::set<DeviceId> seen;
    auto listed = wire::for_each_device(
        [&](const std::string& path) -> Result<std::string> {
          const auto mark = path.find('?');
          net::Request request{
              .method = "GET", .path = path.substr(0, mark), .query = path.substr(mark + 1)};
          request.headers.add("Authorization", "Bearer " + bench.token);
          const auto response = bench.ask(1, request);
          CHECK(response.status == 200);
          CHECK(response.body.size() <= static_cast<std::size_t>(wire::kRecordMax.count));
          sizes.push_back(wire::parse_device_list(response.body).value().devices.size());
          return response.body;
        },
        [&](wire::DeviceInfo&& device) { seen.insert(device.id); });
    CHECK(listed);
    CHECK(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}) == seen.size());
    return sizes;
  };
  CHECK(pages() == std::vector<std::size_t>{0});
  fill(2000, 0);
  CHECK(pages() == std::vector<std::size_t>{2000});
  fill(2001, 0);
  CHECK(pages() == std::vector<std::size_t>{2000, 1});
  fill(2001, 10'000);
  CHECK(pages() == std::vector<std::size_t>{1000, 1001});
  const auto whole = bench.admin("GET", "/v1/devices");
  CHECK(whole.status == 400);
  CHECK(whole.body.find("/v1/devices?after=") != std::string::npos);
  net::Request wrong{.method = "GET", .path = "/v1/devices", .query = "after=x"};
  wrong.headers.add("Authorization", "Bearer " + bench.token);
  CHECK(bench.ask(1, wrong).status == 400);
}

TEST_CASE("api: a device certificate opens no administrator's door", "[origin]") {
  Bench bench;
  net::Request request{.method = "GET", .path = "/v1/devices"};
  request.peer.device = bench.enrol("");
  CHECK(bench.ask(1, request).status == 401);
}

TEST_CASE("api: a pending device may poll and renew, nothing else", "[origin]") {
  Bench bench;
  const auto id = bench.enrol("");
  const auto reply = bench.ask(2, bench.as(id, "/v1/node/poll", bench.poll(0, 0)));
  REQUIRE(reply.status == 200);
  const auto parsed = wire::parse_poll_reply(reply.body).value();
  CHECK(parsed.status == wire::DeviceStatus::pending);
  CHECK_FALSE((parsed.site || parsed.lease || parsed.target));
  CHECK(bench.ask(2, bench.as(id, "/v1/node/renew", renewal(bench.device_key))).status == 200);
  for (const char* path : {"/v1/node/lease", "/v1/node/swarm-certificate", "/v1/node/report"})
    CHECK(bench.ask(2, bench.as(id, path, "{}")).status == 403);
}

TEST_CASE("api: strangers and rejected devices get nothing", "[origin]") {
  Bench bench;
  bench.admin("POST", "/v1/sites", wire::to_json(wire::SiteRequest{"shop", ""}));
  const auto id = bench.enrol("shop");
  const std::string place = "/v1/devices/" + id.hex() + "/reject";
  REQUIRE(bench.admin("POST", place).status == 200);
  const auto unknown = DeviceId::parse(std::string(32, 'a')).value();
  for (const char* path : {"/v1/node/poll", "/v1/node/renew", "/v1/node/lease"}) {
    const std::string body =
        path == std::string("/v1/node/renew") ? renewal(bench.device_key) : bench.poll(0, 0);
    CHECK(bench.ask(2, bench.as(id, path, body)).status == 403);
    CHECK(bench.ask(2, bench.as(unknown, path, body)).status == 403);
    CHECK(bench.ask(2, {.method = "POST", .path = path, .body = body}).status == 401);
  }
}

TEST_CASE("api: a decommissioned or erased device is let in nowhere", "[origin]") {
  Bench bench;
  bench.admin("POST", "/v1/sites", wire::to_json(wire::SiteRequest{"shop", ""}));
  for (const char* how : {"archive", "erase"}) {
    const auto id = bench.enrol("shop");
    const auto first = bench.ask(1, bench.as(id, "/v1/node/poll", bench.poll(0, 0)));
    const auto version = wire::parse_poll_reply(first.body)->site->version;
    // A poll that waits hears of it at once.
    const auto waiting = bench.send(1, bench.as(id, "/v1/node/poll", bench.poll(version, 60'000)));
    REQUIRE_FALSE(waiting->response);
    REQUIRE(bench
                .admin("POST", "/v1/devices/" + id.hex() + "/decommission",
                       wire::to_json(wire::DecommissionRequest{how}))
                .status == 200);
    REQUIRE(waiting->response);
    CHECK(waiting->response->status >= 400);
    for (const char* path : {"/v1/node/poll", "/v1/node/renew", "/v1/node/lease",
                             "/v1/node/swarm-certificate", "/v1/node/cvd/lacks"}) {
      const std::string body =
          path == std::string("/v1/node/renew") ? renewal(bench.device_key) : bench.poll(0, 0);
      CHECK(bench.ask(2, bench.as(id, path, body)).status == 403);
    }
  }
}

TEST_CASE("api: a device whose uploads wait hears why in its poll, once", "[origin]") {
  Bench bench;
  bench.admin("POST", "/v1/sites", wire::to_json(wire::SiteRequest{"shop", ""}));
  const auto id = bench.enrol("shop");
  const auto first = bench.ask(1, bench.as(id, "/v1/node/poll", bench.poll(0, 0)));
  const auto version = wire::parse_poll_reply(first.body)->site->version;
  const auto ask = [&](std::optional<bool> known) {
    return bench.send(
        1, bench.as(id, "/v1/node/poll",
                    wire::to_json(wire::PollRequest{
                        .site_version = version, .wait_ms = 60'000, .uploads_wait = known})));
  };
  const auto waiting = ask(false);
  REQUIRE_FALSE(waiting->response);
  REQUIRE(bench
              .admin("POST", "/v1/cvds/" + id.hex() + "/archive",
                     wire::to_json(wire::ArchiveRequest{true}))
              .status == 200);
  REQUIRE(waiting->response);
  CHECK_THAT(wire::parse_poll_reply(waiting->response->body)->uploads_wait.value_or(""),
             Catch::Contains("archived"));
  CHECK_FALSE(ask(true)->response);
  // One that knows no such is not answered again and again.
  CHECK_FALSE(ask(std::nullopt)->response);
}

TEST_CASE("api: an expired certificate renews with the enrolled key and does nothing else",
          "[origin]") {
  Bench bench;
  const auto id = bench.enrol("");
  const auto expired = [&](const std::string& path, std::string body) {
    auto request = bench.as(id, path, std::move(body));
    request.peer.certificate_expired = true;
    return bench.ask(2, request).status;
  };
  CHECK(expired("/v1/node/poll", bench.poll(0, 0)) == 403);
  CHECK(expired("/v1/node/renew", renewal(net::make_key_and_request().value())) == 403);
  CHECK(expired("/v1/node/renew", renewal(bench.device_key)) == 200);
}

TEST_CASE("api: a device's own address is an IP address or nothing", "[origin]") {
  Bench bench;
  REQUIRE(bench.catalog.add_site({"test", Bench::at(0).wall}, {.name = "shop"}));
  const auto id = bench.enrol("shop");
  const auto status = [&](const std::string& address) {
    const wire::PollRequest poll{.lan_address = address, .swarm_port = 8445};
    return bench.ask(2, bench.as(id, "/v1/node/poll", wire::to_json(poll))).status;
  };
  for (const char* good : {"", "10.0.0.2", "fd00::2"}) CHECK(status(good) == 200);
  for (const char* bad : {"hq.example", "10.0.0.2:80", "[fd00::2]", "10.0.0", "fe80::1%eth0"})
    CHECK(status(bad) == 400);
  CHECK(status(std::string("10.0.0.2\0x", 10)) == 400);
  CHECK(bench.catalog.device(id)->lan_address == "fd00::2");
}

TEST_CASE("api: the signed member list comes when it changed, not with every lease", "[origin]") {
  Bench bench;
  bench.admin("POST", "/v1/sites", wire::to_json(wire::SiteRequest{"shop", ""}));
  const DeviceId ann = bench.enrol("shop"), bob = bench.enrol("shop");
  const auto poll = [&](int t, const DeviceId& id, std::optional<std::uint64_t> known,
                        const std::string& address, bool wants = false) {
    wire::PollRequest request{.lan_address = address, .swarm_port = 8444};
    request.members_sequence = known;
    if (wants) request.wants = {{LayerId::parse(std::string(64, '1')).value(), 100}};
    const auto response = bench.ask(t, bench.as(id, "/v1/node/poll", wire::to_json(request)));
    return wire::parse_poll_reply(response.body).value();
  };
  const auto list_of = [&](const wire::PollReply& reply) {
    const PublicKey key = bench.key.public_key();
    const auto opened =
        format::open_record(format::RecordType::members, reply.members.value(), std::span(&key, 1));
    return format::parse_members(opened.value().record).value();
  };
  const auto first = list_of(poll(2, ann, 0, "10.0.0.1"));
  CHECK(first.site == "shop");
  CHECK(first.members.size() == 2);
  CHECK_FALSE(poll(3, ann, std::nullopt, "10.0.0.1").members);  // An older program asks for none.

  const auto second = list_of(poll(10, bob, first.sequence, "10.0.0.2"));
  CHECK(second.sequence > first.sequence);
  const auto leased = poll(20, ann, second.sequence, "10.0.0.1", true);
  CHECK(leased.lease);
  CHECK_FALSE(leased.members);
  // A device that does not know its address yet keeps the one that it had.
  CHECK_FALSE(poll(30, ann, second.sequence, "").members);

  // One that does not keep the list is told at once only once: it must not ask in a spin.
  wire::PollRequest repeated{
      .site_version = poll(31, ann, second.sequence, "10.0.0.1").site->version,
      .lan_address = "10.0.0.1",
      .swarm_port = 8444,
      .wait_ms = 10'000};
  repeated.members_sequence = first.sequence;
  const auto ask_again = [&](int t) {
    return bench.send(t, bench.as(ann, "/v1/node/poll", wire::to_json(repeated)))->response;
  };
  CHECK(ask_again(32));
  CHECK_FALSE(ask_again(33));

  REQUIRE(bench.admin("POST", "/v1/devices/" + bob.hex() + "/reject", "{}", 40).status == 200);
  const auto third = list_of(poll(41, ann, second.sequence, "10.0.0.1"));
  REQUIRE(third.members.size() == 1);
  CHECK(third.members[0].device == ann);
}

namespace {

// Polls of devices that are somewhere.
struct Networks : Bench {
  wire::PollReply poll_from(int t, const DeviceId& id, const std::string& public_address,
                            const std::string& lan_address) {
    auto request =
        as(id, "/v1/node/poll",
           wire::to_json(wire::PollRequest{.lan_address = lan_address, .swarm_port = 8444}));
    request.peer.address = public_address;
    return wire::parse_poll_reply(ask(t, std::move(request)).body).value();
  }
  int set(const std::string& site, const wire::SiteNetworks& networks) {
    return admin("POST", "/v1/sites/" + site + "/networks", wire::to_json(networks)).status;
  }
  wire::DeviceInfo info(const DeviceId& id) {
    return wire::parse_device_info(admin("GET", "/v1/devices/" + id.hex()).body).value();
  }
  bool audited(const std::string& action, const DeviceId& id) {
    const auto log = catalog.audit_log(100).value();
    return std::ranges::any_of(log.entries, [&](const auto& entry) {
      return entry.action == action && entry.object == "device:" + id.hex();
    });
  }
};

}  // namespace

TEST_CASE("api: a device is placed by its network, roams, waits in a strange one, and is back",
          "[origin]") {
  Networks bench;
  for (const char* site : {"north", "south"})
    bench.admin("POST", "/v1/sites", wire::to_json(wire::SiteRequest{site, ""}));
  const DeviceId id = bench.enrol(""), peer = bench.enrol("north");
  CHECK(bench.poll_from(2, peer, "203.0.113.7", "192.168.1.9").status ==
        wire::DeviceStatus::assigned);
  CHECK(bench.poll_from(2, id, "203.0.113.7", "192.168.1.5").waiting->find("device assign") !=
        std::string::npos);

  REQUIRE(bench.set("north", {{"192.168.1.0/24"}, {"203.0.113.7"}, true, false}) == 200);
  REQUIRE(bench.set("south", {{"192.168.1.0/24"}, {"198.51.100.0/28"}, true, false}) == 200);
  auto reply = bench.poll_from(3, id, "203.0.113.7", "192.168.1.5");
  CHECK(reply.status == wire::DeviceStatus::assigned);
  REQUIRE(reply.site);
  CHECK(reply.site->name == "north");
  CHECK(reply.site->peers.size() == 1);
  CHECK(bench.info(id).placed == "network");
  CHECK(bench.audited("device.place", id));

  reply = bench.poll_from(4, id, "::ffff:198.51.100.3", "192.168.1.5");
  CHECK(reply.site->name == "south");
  CHECK(bench.poll_from(4, peer, "203.0.113.7", "192.168.1.9").site->peers.empty());

  reply = bench.poll_from(5, id, "192.0.2.1", "192.168.1.5");
  CHECK(reply.status == wire::DeviceStatus::pending);
  CHECK_FALSE(reply.site);
  CHECK_FALSE(reply.lease);
  CHECK(reply.waiting->find("192.0.2.1") != std::string::npos);
  CHECK(bench.info(id).waiting == reply.waiting);
  CHECK(bench.audited("device.wait", id));
  CHECK(bench.ask(5, bench.as(id, "/v1/node/lease", wire::to_json(wire::LeaseRequest{}))).status ==
        403);
  // Before its first answer in a new network it does not know its address: nothing opens.
  CHECK(bench.poll_from(6, id, "198.51.100.3", "").status == wire::DeviceStatus::pending);

  reply = bench.poll_from(7, id, "198.51.100.3", "192.168.1.5");
  CHECK(reply.site->name == "south");
  CHECK_FALSE(bench.info(id).waiting);
}

TEST_CASE("api: a site that keeps to its networks shuts its devices out elsewhere", "[origin]") {
  Networks bench;
  bench.admin("POST", "/v1/sites", wire::to_json(wire::SiteRequest{"vault", ""}));
  const DeviceId id = bench.enrol("vault");
  CHECK(bench.info(id).placed == "token");
  // Both kinds of networks, and well formed ones, or none.
  CHECK(bench.set("vault", {{"10.9.0.0/16"}, {}, false, true}) == 403);
  CHECK(bench.set("vault", {{"10.9.0.1/16"}, {"203.0.113.9"}, false, true}) == 400);
  REQUIRE(bench.set("vault", {{"10.9.0.0/16"}, {"203.0.113.9"}, false, true}) == 200);
  CHECK(bench.poll_from(2, id, "203.0.113.9", "10.9.0.4").site);
  CHECK(bench.poll_from(3, id, "203.0.113.9", "10.8.0.4").status == wire::DeviceStatus::pending);
  CHECK(bench.info(id).site == "vault");
  CHECK(bench.poll_from(4, id, "203.0.113.9", "10.9.0.5").site);

  // By its network from now on: this site takes nobody by itself.
  REQUIRE(bench
              .admin("POST", "/v1/devices/" + id.hex() + "/assign",
                     wire::to_json(wire::PlaceRequest{""}), 5)
              .status == 200);
  CHECK(bench.poll_from(5, id, "203.0.113.9", "10.9.0.5").status == wire::DeviceStatus::pending);
  REQUIRE(bench.set("vault", {{"10.9.0.0/16"}, {"203.0.113.9"}, true, true}) == 200);
  CHECK(bench.poll_from(6, id, "203.0.113.9", "10.9.0.5").site);
}

TEST_CASE("api: a waiting poll is answered by an assignment with the signed target", "[origin]") {
  Bench bench;
  bench.admin("POST", "/v1/sites", wire::to_json(wire::SiteRequest{"shop", ""}));
  bench.publish_base();
  const auto id = bench.enrol("shop");
  const auto first = bench.ask(2, bench.as(id, "/v1/node/poll", bench.poll(0, 50'000)));
  const auto version = wire::parse_poll_reply(first.body).value().site->version;
  const auto waiting = bench.send(3, bench.as(id, "/v1/node/poll", bench.poll(version, 50'000)));
  CHECK_FALSE(waiting->response);

  const wire::AssignmentRequest request{.site = "shop", .layers = {"os:1.0"}};
  REQUIRE(bench.admin("POST", "/v1/assignments", wire::to_json(request), 4).status == 200);
  REQUIRE(waiting->response);
  const auto reply = wire::parse_poll_reply(waiting->response->body).value();
  REQUIRE(reply.target);
  const std::vector trusted{bench.key.public_key()};
  const auto opened = format::open_record(format::RecordType::target, *reply.target, trusted);
  REQUIRE(opened);
  const auto target = format::parse_target(opened->record).value();
  CHECK(target.device == id);
  CHECK(target.sequence == 1);
}

TEST_CASE("api: a poll without news is answered when its wait is over", "[origin]") {
  Bench bench;
  const auto id = bench.enrol("");
  const auto waiting = bench.send(3, bench.as(id, "/v1/node/poll", bench.poll(0, 10'000)));
  bench.api.wake(Bench::at(12));
  CHECK_FALSE(waiting->response);
  CHECK(bench.api.next_change() == Bench::at(13).now);
  bench.api.wake(Bench::at(13));
  CHECK(waiting->response);
}

TEST_CASE("api: a rejection ends the wait with 403", "[origin]") {
  Bench bench;
  const auto id = bench.enrol("");
  const auto waiting = bench.send(3, bench.as(id, "/v1/node/poll", bench.poll(0, 10'000)));
  bench.admin("POST", "/v1/devices/" + id.hex() + "/reject", "", 4);
  REQUIRE(waiting->response);
  CHECK(waiting->response->status == 403);
}

TEST_CASE("api: a bad CSR spends no token", "[origin]") {
  Bench bench;
  const auto secret =
      bench.create_token({.name = "once", .kind = "enrol", .uses = 1, .ttl_ms = 1000'000});
  wire::EnrolRequest message{.token = secret, .csr_pem = "nonsense"};
  net::Request request{.method = "POST", .path = "/v1/enroll", .body = wire::to_json(message)};
  CHECK(bench.ask(1, request).status >= 400);
  message.csr_pem = bench.device_key.csr_pem;
  request.body = wire::to_json(message);
  CHECK(bench.ask(1, request).status == 201);
}

TEST_CASE("api: another protocol is answered 426", "[origin]") {
  Bench bench;
  net::Request request{.method = "GET", .path = "/health"};
  request.headers.add(std::string(wire::kProtocolHeader), "99");
  CHECK(bench.ask(1, request).status == 426);
}

TEST_CASE("api: the WAN budget of a target opens the line for its device, from its time on",
          "[origin]") {
  Bench bench;
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"shop","subnet":""})").status == 201);
  const DeviceId id = bench.enrol("shop");
  bench.publish_base();
  const auto assign = [&](const std::string& budget, int t) {
    return bench
        .admin("POST", "/v1/assignments",
               wire::to_json(wire::AssignmentRequest{
                   .site = "shop", .devices = {}, .layers = {"os:1.0"}, .wan_budget = budget}),
               t)
        .status;
  };
  const auto ask = [&](std::uint64_t sequence, int t) {
    return bench.ask(
        t, bench.as(id, "/v1/node/wan-budget", wire::to_json(wire::BudgetRequest{sequence})));
  };
  CHECK(assign("as much as you like", 2) == 400);
  REQUIRE(assign("never", 2) == 200);
  CHECK(ask(1, 1000).status == 403);
  REQUIRE(assign("after 60 s", 10) == 200);
  CHECK(ask(1, 100).status == 403);  // Of another target.
  CHECK(ask(2, 69).status == 403);
  const auto granted = ask(2, 70);
  REQUIRE(granted.status == 200);
  const auto lease = wire::parse_lease_reply(granted.body).value().lease.value();
  CHECK(lease.holder == id);
  CHECK(lease.epoch == 2);
  const PublicKey key = bench.key.public_key();
  const auto opened =
      format::open_record(format::RecordType::lease, lease.token, std::span(&key, 1));
  REQUIRE(opened);
  const auto token = format::parse_lease(opened->record).value();
  CHECK(token.device == id);
  CHECK(token.site != "shop");
  CHECK(token.expires == Bench::at(75).wall);

  REQUIRE(assign("up to 10 MB", 80) == 200);
  CHECK(ask(3, 80).status == 200);
  REQUIRE(bench.catalog.reject_device({"test", Bench::at(90).wall}, id));
  CHECK(ask(3, 91).status == 403);
}

TEST_CASE("api: without appointment nobody gets the site's lease", "[origin]") {
  Bench bench;
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"shop","subnet":""})").status == 201);
  const DeviceId id = bench.enrol("shop");
  const auto poll = [&](int t) {
    const wire::PollRequest request{.wants = {{LayerId{}, 1000}}};
    return wire::parse_poll_reply(
               bench.ask(t, bench.as(id, "/v1/node/poll", wire::to_json(request))).body)
        .value();
  };
  CHECK(poll(2).lease);
  REQUIRE(bench.admin("POST", "/v1/sites/shop/appoint", R"({"appoint":false})", 3).status == 200);
  const auto off = poll(4);
  CHECK_FALSE(off.lease);
  CHECK(off.site->appoint == false);
  CHECK(bench.catalog.site("shop")->appoint == false);
  REQUIRE(bench.admin("POST", "/v1/sites/shop/appoint", R"({"appoint":true})", 5).status == 200);
  const auto on = poll(6);
  CHECK(on.lease);
  CHECK_FALSE(on.site->appoint);
  CHECK(bench.admin("POST", "/v1/sites/none/appoint", R"({"appoint":true})", 7).status == 404);
}

TEST_CASE("api: how a site's line is used is settled, kept, and told to its devices", "[origin]") {
  Bench bench;
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"shop","subnet":""})").status == 201);
  const DeviceId id = bench.enrol("shop");
  const auto told = [&](int t) {
    return wire::parse_poll_reply(
               bench.ask(t, bench.as(id, "/v1/node/poll", wire::to_json(wire::PollRequest{}))).body)
        ->site->transport;
  };
  const auto set = [&](const std::string& site, const std::string& word, int t) {
    return bench
        .admin("POST", "/v1/sites/" + site + "/transport", R"({"transport":")" + word + R"("})", t)
        .status;
  };
  CHECK_FALSE(told(2));
  REQUIRE(set("shop", "https", 3) == 200);
  CHECK(told(4) == "https");
  CHECK(bench.catalog.site("shop")->transport == "https");
  CHECK(set("shop", "pigeon", 5) == 400);
  CHECK(set("none", "swarm", 6) == 404);
  CHECK(told(7) == "https");
  REQUIRE(set("shop", "auto", 8) == 200);
  CHECK_FALSE(told(9));
  CHECK_FALSE(bench.catalog.site("shop")->transport);
}

TEST_CASE("api: an administrator sets how many reflectors a site has, and which", "[origin]") {
  Bench bench;
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"shop","subnet":""})").status == 201);
  const DeviceId ann = bench.enrol("shop"), bob = bench.enrol("shop");
  const auto set = [&](int t, const std::string& body) {
    return bench.admin("POST", "/v1/sites/shop/reflectors", body, t);
  };
  REQUIRE(bench.admin("POST", "/v1/sites/shop/appoint", R"({"appoint":false})", 1).status == 200);
  const auto made = set(2, R"({"count":2,"devices":[")" + bob.hex() + R"("]})");
  REQUIRE(made.status == 200);
  CHECK(wire::parse_site_info(made.body)->reflector_devices == std::vector{bob});
  CHECK(set(3, R"({"count":5})").status == 400);
  const std::string wants = wire::to_json(wire::PollRequest{.wants = {{LayerId{}, 1000}}});
  for (const DeviceId& id : {ann, bob})
    REQUIRE(bench.ask(4, bench.as(id, "/v1/node/poll", wants)).status == 200);
  const auto site = [&](int t) {
    return wire::parse_site_list(bench.admin("GET", "/v1/sites", "", t).body)->sites.at(0);
  };
  CHECK(site(5).lease_holder == bob);
  CHECK_FALSE(site(5).lease_holders);
  CHECK(site(5).reflectors == 2);
  // Both are named: at Bob's renewals Ann gets her half.
  REQUIRE(set(5, R"({"devices":[")" + bob.hex() + "\",\"" + ann.hex() + R"("]})").status == 200);
  std::uint64_t epoch = 1;
  for (const int t : {6, 7}) {
    const auto reply = bench.ask(
        t,
        bench.as(bob, "/v1/node/lease",
                 wire::to_json(wire::LeaseRequest{.epoch = epoch, .wants = {{LayerId{}, 900}}})));
    REQUIRE(reply.status == 200);
    epoch = wire::parse_lease_reply(reply.body)->lease->epoch;
  }
  CHECK(site(8).lease_holders == std::vector{bob, ann});
}

TEST_CASE("api: new bandwidth rules wake the devices of their site, and are sent once",
          "[origin]") {
  Bench bench;
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"shop","subnet":""})").status == 201);
  const DeviceId id = bench.enrol("shop");
  const auto parse = [](const net::Response& r) { return wire::parse_poll_reply(r.body).value(); };
  const auto send = [&](int t, const wire::PollRequest& request) {
    return bench.send(t, bench.as(id, "/v1/node/poll", wire::to_json(request)));
  };
  const auto first = parse(send(2, {})->response.value());
  const auto waiting = send(2, {.site_version = first.site->version, .wait_ms = 50'000});
  CHECK_FALSE(waiting->response);

  const std::string csv = ",shop,250,,08:00,18:00,*\n";
  const auto put = [&](int t, const std::string& text) {
    return bench.admin("PUT", "/v1/rules", wire::to_json(wire::RuleSet{text}), t).status;
  };
  REQUIRE(put(3, csv) == 200);
  REQUIRE(waiting->response);
  const auto told = parse(*waiting->response);
  REQUIRE(told.site->rules);
  CHECK(told.site->rules->ends_with(csv));
  const auto again = parse(send(4, {.rules_version = told.site->rules_version})->response.value());
  CHECK(again.site->rules_version == told.site->rules_version);
  CHECK_FALSE(again.site->rules);

  CHECK(put(5, ",shop,x,,08:00,18:00,*\n") == 400);
  CHECK(put(5, ",depot,1,,08:00,18:00,*\n") == 404);
  const auto listed = wire::parse_rule_set(bench.admin("GET", "/v1/rules", "", 5).body).value();
  CHECK(listed.csv == *told.site->rules);
  CHECK(put(6, "") == 200);
  CHECK_FALSE(parse(send(7, {.rules_version = 1})->response.value()).site->rules_version);
  CHECK(bench.ask(8, {.method = "GET", .path = "/v1/rules"}).status == 401);
}

TEST_CASE("api: a target that is about to end is signed anew for who asks", "[origin]") {
  Bench bench;
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"shop","subnet":""})").status == 201);
  const DeviceId id = bench.enrol("shop");
  bench.publish_base();
  REQUIRE(bench
              .admin("POST", "/v1/assignments",
                     R"({"site":"shop","devices":[],"layers":["os:1.0"]})", 2)
              .status == 200);
  const auto target = [&](int t) {
    const auto reply =
        wire::parse_poll_reply(bench.ask(t, bench.as(id, "/v1/node/poll", bench.poll(0, 0))).body);
    const PublicKey key = bench.key.public_key();
    const auto opened =
        format::open_record(format::RecordType::target, reply->target.value(), std::span(&key, 1));
    return format::parse_target(opened.value().record).value();
  };
  const auto first = target(3);
  CHECK(target(4) == first);
  const int late = 80 * 24 * 3600;
  const auto renewed = target(late);
  CHECK(renewed.sequence == first.sequence);
  CHECK(renewed.issued == first.issued);
  CHECK(renewed.expires.ns == Bench::at(late).wall.ns + kTargetLifetime.count());
}

TEST_CASE("api: after a restore a device that saw a newer target gets its own under a newer number",
          "[origin]") {
  Bench bench;
  REQUIRE(bench.catalog.add_site({"test", Bench::at(0).wall}, {.name = "shop"}));
  const auto id = bench.enrol("shop");
  bench.publish_base();
  const wire::AssignmentRequest assignment{.site = "shop", .layers = {"os:1.0"}};
  REQUIRE(bench.admin("POST", "/v1/assignments", wire::to_json(assignment)).status == 200);
  const auto polled = [&](std::uint64_t target) {
    const auto reply = bench.ask(9, bench.as(id, "/v1/node/poll", bench.poll(0, 0, target)));
    REQUIRE(reply.status == 200);
    return wire::parse_poll_reply(reply.body).value().target;
  };
  REQUIRE(polled(0));
  // An origin that was never restored believes nobody who claims such a thing.
  CHECK_FALSE(polled(7));
  REQUIRE(bench.catalog.note_restored({"origin", Bench::at(8).wall}, 1));
  CHECK_FALSE(polled(1));
  const auto target = polled(7);
  REQUIRE(target);
  const PublicKey key = bench.key.public_key();
  const auto opened = format::open_record(format::RecordType::target, *target, std::span(&key, 1));
  REQUIRE(opened);
  const auto parsed = format::parse_target(opened->record).value();
  CHECK(parsed.sequence == 8000);  // The restore's time in milliseconds.
  CHECK(parsed.stack.size() == 1);
  CHECK_FALSE(polled(8000));
}

TEST_CASE("api: the metrics are for an administrator's token or one of their own", "[origin]") {
  Bench bench;
  const auto get = [&](const std::string& token, int t = 1) {
    net::Request request{.method = "GET", .path = "/metrics"};
    if (!token.empty()) request.headers.add("Authorization", "Bearer " + token);
    std::optional<net::Response> response;
    // Without the protocol's header: a monitoring system sends none.
    bench.api.handle(
        request, [&](net::Response r) { response = std::move(r); }, Bench::at(t));
    return response.value();
  };
  CHECK(get(bench.token).status == 426);  // There is no monitor, so this is a call like others.
  Monitor monitor(bench.catalog, bench.sites,
                  {.certificates = {},
                   .disk = []() -> Result<wire::DiskSpace> {
                     return wire::DiskSpace{1, 2};
                   }},
                  Bench::at(0).wall);
  bench.api.serve_metrics(monitor);
  const auto secret = bench.create_token({.name = "prom", .kind = "metrics", .ttl_ms = 1'000'000});
  const auto enrol = bench.create_token(
      {.name = "batch", .kind = "enrol", .uses = 1, .ttl_ms = 1'000'000, .site = ""});
  CHECK(get("").status == 401);
  CHECK(get(enrol).status == 401);
  CHECK(get(std::string(64, '0')).status == 401);
  CHECK(get(secret, 2000).status == 401);  // Expired.
  CHECK(get(bench.token).status == 200);
  const auto answer = get(secret);
  CHECK(answer.status == 200);
  CHECK(answer.content_type == "text/plain; version=0.0.4; charset=utf-8");
  const auto checked = check_exposition(answer.body);
  CHECK(checked.findings == std::vector<std::string>{});
  CHECK(checked.samples.at("lamina_requests_total{class=\"metrics\",status=\"4xx\"}") == 4);
  // It opens nothing else.
  for (const char* path : {"/v1/devices", "/v1/tokens", "/v1/audit", "/v1/savings"}) {
    net::Request request{.method = "GET", .path = path};
    request.headers.add("Authorization", "Bearer " + secret);
    CHECK(bench.ask(1, std::move(request)).status == 401);
  }
}

TEST_CASE("api: bytes that devices say in polls are the site's savings", "[origin]") {
  Bench bench;
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"north","subnet":""})").status == 201);
  const DeviceId id = bench.enrol("north");
  for (int i = 0; i < 2; ++i)
    CHECK(bench
              .ask(1, bench.as(
                          id, "/v1/node/poll",
                          wire::to_json(wire::PollRequest{
                              .bytes =
                                  wire::ByteCounts{1, {{"reflector", 60}, {"origin-by-lease", 20}}},
                              .disk = wire::DiskSpace{5, 9}})))
              .status == 200);
  const auto list = wire::parse_savings_list(bench.admin("GET", "/v1/savings").body);
  REQUIRE(list);
  REQUIRE(list->savings.size() == 2);
  CHECK(list->savings[0].days == 7);
  CHECK(list->savings[1].lan_bytes == 60);
  CHECK(list->savings[1].wan_bytes == 20);
  const auto device = wire::parse_device_info(bench.admin("GET", "/v1/devices/" + id.hex()).body);
  REQUIRE(device);
  CHECK(device->disk == wire::DiskSpace{5, 9});
  CHECK(device->bytes->by_source.at("reflector") == 60);
}

TEST_CASE("api: the watch looks when it is due, and its alerts are listed", "[origin]") {
  Bench bench;
  auto watch = Watch::open(bench.catalog, bench.sites,
                           {.certificates = {},
                            .disk = []() -> Result<wire::DiskSpace> {
                              return wire::DiskSpace{900, 1000};
                            }},
                           Bench::at(1));
  REQUIRE(watch);
  bench.api.serve_alerts(*watch);
  CHECK(bench.api.next_change() == Bench::at(1).now);
  REQUIRE(bench.admin("POST", "/v1/sites", R"({"name":"north","subnet":""})").status == 201);
  REQUIRE(bench.admin("POST", "/v1/sites/north/appoint", R"({"appoint":false})").status == 200);
  const DeviceId id = bench.enrol("north");
  const auto layer = LayerId::parse(std::string(64, '1')).value();
  const std::string wants = wire::to_json(wire::PollRequest{.wants = {{layer, 500}}});
  for (int t = 2; t <= 72; t += 5)
    REQUIRE(bench.ask(t, bench.as(id, "/v1/node/poll", wants)).status == 200);
  const auto list = wire::parse_alert_list(bench.admin("GET", "/v1/alerts", "", 73).body);
  REQUIRE(list);
  REQUIRE(list->alerts.size() == 1);
  CHECK(list->alerts[0].kind == "reflector-down");
  CHECK(list->alerts[0].object == "site:north");
  const auto next = bench.api.next_change();
  REQUIRE(next);
  CHECK(*next > Bench::at(73).now);
}
