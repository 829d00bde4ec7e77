#include <catch2/catch.hpp>

#include "origin/api/api.hpp"
#include "shared/format/record.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;

namespace {

LayerId layer_id(char digit) { return LayerId::parse(std::string(64, digit)).value(); }

// A site "shop" with two devices, and one of another site, in seconds since the test began.
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
  DeviceId ann, bob, other;

  Bench() {
    for (const char* site : {"shop", "mall"})
      REQUIRE(catalog.add_site({"test", at(0).wall}, {.name = site}));
    ann = enrol("shop"), bob = enrol("shop"), other = enrol("mall");
    for (const char* version : {"1", "2"})
      REQUIRE(catalog.add_layer({"test", at(0).wall},
                                {.id = layer_id(*version),
                                 .name = "os",
                                 .version = version,
                                 .kind = "base",
                                 .stored_bytes = 1000},
                                {}));
  }
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
  DeviceId enrol(const std::string& site) {
    const auto secret = create_token({.name = "t" + std::to_string(table.rows().size()),
                                      .kind = "enrol",
                                      .uses = 1,
                                      .ttl_ms = 1000'000,
                                      .site = site});
    const wire::EnrolRequest message{.token = secret, .csr_pem = device_key.csr_pem};
    net::Request request{.method = "POST", .path = "/v1/enroll", .body = wire::to_json(message)};
    return wire::parse_enrol_reply(send(1, std::move(request))->response.value().body)
        .value()
        .device;
  }
  std::shared_ptr<Call> send_poll(int t, const DeviceId& id, wire::PollRequest poll) {
    poll.lan_address = "10.0.0." + std::to_string(id == ann ? 1 : 2);
    poll.swarm_port = 8444;
    net::Request request{.method = "POST", .path = "/v1/node/poll", .body = wire::to_json(poll)};
    request.peer.device = id;
    return send(t, std::move(request));
  }
  wire::PollReply poll(int t, const DeviceId& id, wire::PollRequest poll) {
    const auto response = send_poll(t, id, std::move(poll))->response;
    REQUIRE(response);
    return wire::parse_poll_reply(response->body).value();
  }
  // A poll of a device that lacks `missing` bytes of layer 1 and holds settings `version`.
  static wire::PollRequest says(std::int64_t missing, std::uint64_t version = 0) {
    wire::PollRequest poll{.settings_version = version};
    if (missing > 0) poll.wants = {{layer_id('1'), missing}};
    return poll;
  }
  net::Response act(int t, const DeviceId& id, wire::ReflectorRequest request) {
    return admin(t, "POST", "/v1/devices/" + id.hex() + "/reflector", wire::to_json(request));
  }
  wire::ReflectorInfo show(int t, const DeviceId& id) {
    const auto response = admin(t, "GET", "/v1/devices/" + id.hex() + "/reflector");
    REQUIRE(response.status == 200);
    return wire::parse_reflector_info(response.body).value();
  }
};

}  // namespace

TEST_CASE("reflectors: a suspended holder loses the lease to one that may fetch", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(2, bench.ann, Bench::says(10)).lease->holder == bench.ann);
  bench.poll(2, bench.bob, Bench::says(500));
  CHECK(bench.show(2, bench.ann).role == "acting");
  CHECK(bench.show(2, bench.bob).role == "standby");
  const auto waiting = bench.send_poll(3, bench.ann, [&] {
    auto poll = Bench::says(10);
    poll.wait_ms = 50'000;
    poll.site_version = bench.sites.view("shop", bench.ann, Bench::at(3)).site.version;
    return poll;
  }());
  REQUIRE_FALSE(waiting->response);
  REQUIRE(bench.act(3, bench.ann, {.action = "suspend"}).status == 200);
  // The waiting poll brings the settings at once, and the lease is the other's.
  REQUIRE(waiting->response);
  const auto told = wire::parse_poll_reply(waiting->response->body).value();
  REQUIRE(told.reflector);
  CHECK(told.reflector->mode == "suspended");
  CHECK(told.lease->holder == bench.bob);
  CHECK_FALSE(bench.show(3, bench.ann).settled);
  const auto reply = bench.poll(4, bench.ann, Bench::says(10, told.reflector->version));
  CHECK_FALSE(reply.reflector);
  CHECK(reply.lease->holder == bench.bob);
  CHECK(bench.show(4, bench.ann).role == "suspended");
  CHECK(bench.show(4, bench.ann).settled);

  // It gets it back only after it may fetch again, and once the other has what it wants.
  bench.poll(5, bench.bob, Bench::says(0));
  CHECK_FALSE(bench.poll(6, bench.ann, Bench::says(10, 1)).lease);
  REQUIRE(bench.act(6, bench.ann, {.action = "resume"}).status == 200);
  CHECK(bench.poll(7, bench.ann, Bench::says(10, 2)).lease->holder == bench.ann);
}

TEST_CASE("reflectors: settings are found again by an origin that was restarted", "[origin]") {
  Bench bench;
  bench.poll(2, bench.ann, Bench::says(0));
  REQUIRE(bench.act(3, bench.ann, {.action = "suspend"}).status == 200);
  Sites sites{bench.catalog, bench.key, {}};
  Api api{bench.catalog,
          sites,
          {net::make_ca("api").value(),
           net::make_ca("swarm").value(),
           bench.key,
           {bench.key.public_key()}}};
  net::Request request{
      .method = "POST", .path = "/v1/node/poll", .body = wire::to_json(Bench::says(10, 1))};
  request.peer.device = bench.ann;
  request.headers.add(std::string(wire::kProtocolHeader), "1");
  std::optional<net::Response> response;
  api.handle(
      request, [&](net::Response r) { response = std::move(r); }, Bench::at(4));
  REQUIRE(response);
  CHECK_FALSE(wire::parse_poll_reply(response->body).value().lease);
}

TEST_CASE("reflectors: a disabled device stays in no peer's list of those to dial", "[origin]") {
  Bench bench;
  auto relays = Bench::says(0);
  relays.relay_port = 8445;
  bench.poll(2, bench.ann, relays);
  bench.poll(2, bench.bob, Bench::says(10));
  REQUIRE(bench.act(3, bench.ann, {.action = "disable"}).status == 200);
  const auto peers = bench.poll(4, bench.bob, Bench::says(10)).site->peers;
  REQUIRE(peers.size() == 1);
  CHECK(peers[0].serves == false);
  CHECK_FALSE(peers[0].relay_port);
  CHECK(bench.show(4, bench.ann).role == "disabled");
  CHECK(bench.act(4, bench.ann, {.action = "suspend"}).status == 403);
  REQUIRE(bench.act(5, bench.ann, {.action = "enable"}).status == 200);
  const auto again = bench.poll(6, bench.bob, Bench::says(10)).site->peers;
  CHECK_FALSE(again[0].serves);
  CHECK(again[0].relay_port == 8445);
}

TEST_CASE("reflectors: a command waits until the device says that it is carried out", "[origin]") {
  Bench bench;
  bench.poll(2, bench.ann, Bench::says(0));
  REQUIRE(bench.act(3, bench.ann, {.action = "sync"}).status == 200);
  REQUIRE(bench.act(3, bench.ann, {.action = "rebuild"}).status == 200);
  const auto told = bench.poll(4, bench.ann, Bench::says(0)).reflector;
  REQUIRE(told);
  CHECK(told->commands == std::vector<wire::ReflectorCommand>{{1, "sync"}, {2, "rebuild"}});
  auto done = Bench::says(0, told->version);
  done.command_done = 1;
  CHECK_FALSE(bench.poll(5, bench.ann, done).reflector);
  CHECK(bench.show(5, bench.ann).settings.commands ==
        std::vector<wire::ReflectorCommand>{{2, "rebuild"}});
  for (std::size_t i = 1; i < wire::kReflectorCommandsMax; ++i)
    REQUIRE(bench.act(6, bench.ann, {.action = "sync"}).status == 200);
  CHECK(bench.act(6, bench.ann, {.action = "sync"}).status == 403);
}

TEST_CASE("reflectors: what is wrong with a change is said, and changes nothing", "[origin]") {
  Bench bench;
  using Request = wire::ReflectorRequest;
  const auto refused = [&](const Request& request) {
    const int status = bench.act(3, bench.ann, request).status;
    CHECK(bench.show(3, bench.ann).settings.version == 0);
    return status;
  };
  CHECK(refused({.action = "explode"}) == 400);
  CHECK(refused({.action = "reject"}) == 400);
  CHECK(refused({.action = "reject", .peer = bench.ann}) == 400);
  CHECK(refused({.action = "reject", .peer = bench.other}) == 403);
  CHECK(refused({.action = "accept", .peer = bench.bob}) == 404);
  CHECK(refused({.action = "configure"}) == 400);
  CHECK(refused({.action = "configure", .connections = 1}) == 400);
  CHECK(refused({.action = "configure", .networks = std::vector<std::string>{"10.0.0.1/8"}}) ==
        400);
  CHECK(refused({.action = "resume"}) == 200);  // It fetches already.
  CHECK(bench.act(3, DeviceId{}, {.action = "suspend"}).status == 404);

  REQUIRE(bench.act(4, bench.ann, {.action = "reject", .peer = bench.bob}).status == 200);
  REQUIRE(bench
              .act(4, bench.ann,
                   {.action = "configure",
                    .connections = 20,
                    .cache_bytes = 1 << 20,
                    .networks = std::vector<std::string>{"10.7.0.0/16"}})
              .status == 200);
  REQUIRE(bench.act(4, bench.ann, {.action = "configure", .cache_bytes = 0}).status == 200);
  const auto settings = bench.show(4, bench.ann).settings;
  CHECK(settings.rejected == std::vector<DeviceId>{bench.bob});
  CHECK(settings.connections == 20);
  CHECK_FALSE(settings.cache_bytes);
  CHECK(settings.networks == std::vector<std::string>{"10.7.0.0/16"});
  REQUIRE(bench.act(5, bench.ann, {.action = "accept", .peer = bench.bob}).status == 200);
  CHECK(bench.show(5, bench.ann).settings.rejected.empty());
  const auto log = bench.catalog.audit_log(100).value();
  CHECK(log.intact);
  CHECK(std::ranges::count_if(log.entries, [](const auto& e) {
          return e.action.starts_with("reflector.") && e.actor == "admin:root";
        }) == 4);
}

TEST_CASE("reflectors: a site's listing shows how warm, how full and how busy each is",
          "[origin]") {
  Bench bench;
  const wire::AssignmentRequest assign{.site = "shop", .devices = {}, .layers = {"os:1"}};
  REQUIRE(bench.admin(2, "POST", "/v1/assignments", wire::to_json(assign)).status == 200);
  auto poll = Bench::says(250);
  poll.layers = {{layer_id('1'), "lan-peer", 250}};
  poll.kept = {layer_id('2')};
  poll.cache = wire::CacheState{1750, 4000, 1000, 0};
  poll.serving = wire::ServingState{3, 2, 1, 99};
  poll.bytes = wire::ByteCounts{1, {{"lan-peer", 5}, {"origin-by-lease", 7}}};
  poll.unfit = "on-battery";
  bench.poll(3, bench.bob, Bench::says(10));
  bench.poll(3, bench.ann, poll);
  const auto response = bench.admin(3, "GET", "/v1/sites/shop/reflectors");
  REQUIRE(response.status == 200);
  const auto list = wire::parse_reflector_list(response.body).value().reflectors;
  REQUIRE(list.size() == 2);
  const auto& ann = list[0].device == bench.ann ? list[0] : list[1];
  CHECK(ann.role == "unfit");
  CHECK(ann.reason == "on-battery");
  CHECK(ann.wan_bytes == 7);
  CHECK(ann.serving == poll.serving);
  CHECK(ann.cache == poll.cache);
  REQUIRE(ann.layers.size() == 2);
  CHECK(ann.layers[0].use == "target");
  CHECK(ann.layers[0].held_bytes == 750);
  CHECK(ann.layers[1].use == "kept");
  CHECK(bench.admin(3, "GET", "/v1/sites/nowhere/reflectors").status == 404);
  CHECK(wire::parse_reflector_list(bench.admin(3, "GET", "/v1/reflectors").body)
            .value()
            .reflectors.size() == 3);
  CHECK(bench.show(3, bench.other).role == "silent");
}

TEST_CASE("stage: layers come into caches beside the stack, and go again", "[origin]") {
  Bench bench;
  const auto give = [&](std::vector<std::string> layers, bool stage) {
    const wire::AssignmentRequest request{
        .site = "shop", .devices = {}, .layers = std::move(layers), .stage = stage};
    REQUIRE(bench.admin(2, "POST", "/v1/assignments", wire::to_json(request)).status == 200);
    const PublicKey key = bench.key.public_key();
    const auto opened = format::open_record(format::RecordType::target,
                                            bench.catalog.target(bench.ann).value(), {&key, 1});
    return format::parse_target(opened.value().record).value();
  };
  give({"os:1"}, false);
  const auto staged = give({"os:2"}, true);
  CHECK(staged.stack == std::vector<LayerId>{layer_id('1')});
  CHECK(staged.stage == std::vector<LayerId>{layer_id('2')});
  CHECK(bench.catalog.device(bench.ann).value().staged == std::vector<std::string>{"os:2"});
  const auto unstaged = give({}, true);
  CHECK(unstaged.stack == std::vector<LayerId>{layer_id('1')});
  CHECK(unstaged.stage == unstaged.stack);  // A device leaves its volume alone then.
  CHECK_FALSE(bench.catalog.device(bench.ann).value().staged);
}
