// Rollouts as administrators and devices see them: through the API, in fake time.
#include <catch2/catch.hpp>

#include "origin/api/api.hpp"
#include "shared/format/record.hpp"
#include "shared/wire/protocol.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;

namespace {

DeviceId device(int n) { return id_of<DeviceId>(n); }
const LayerId kOld = id_of<LayerId>(1), kNew = id_of<LayerId>(2);

// Speaks in seconds since the test began; the wall clock is 1,000,000 s ahead. Devices are numbers.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  std::optional<Sites> sites;
  std::optional<Api> api;
  std::string token;

  Bench() {
    token = catalog.create_token(act(0), {.name = "root", .kind = "admin", .ttl_ms = 2'000'000'000})
                .value()
                .secret;
    for (const auto& [id, version] : {std::pair{kOld, "1.0"}, std::pair{kNew, "2.0"}})
      REQUIRE(catalog.add_layer(act(0),
                                {.id = id, .name = "os", .version = version, .kind = "base"}, {}));
    start();
  }
  void start() {
    api.reset();
    sites.emplace(catalog, key, Sites::Options{});
    api.emplace(catalog, *sites,
                ApiKeys{.api_ca = {}, .swarm_ca = {}, .target = key, .publishers = {}});
  }

  static Moment at(int t) {
    const std::int64_t second = 1'000'000'000;
    return {Instant{std::chrono::seconds{t}}, WallTime{(t + 1'000'000) * second}};
  }
  static Act act(int t) { return {"test", at(t).wall}; }

  void site(const std::string& name, std::vector<int> devices) {
    REQUIRE(catalog.add_site(act(0), {.name = name}));
    const auto secret = catalog
                            .create_token(act(0), {.name = "t-" + name,
                                                   .kind = "enrol",
                                                   .uses = 100,
                                                   .ttl_ms = 2'000'000'000,
                                                   .site = name})
                            .value()
                            .secret;
    for (const int n : devices)
      REQUIRE(catalog.enrol(at(0).wall, {.token = secret}, device(n), "fingerprint"));
  }

  net::Response ask(int t, net::Request request) {
    request.headers.add(std::string(wire::kProtocolHeader), "1");
    std::optional<net::Response> answer;
    api->handle(
        request, [&](net::Response response) { answer = std::move(response); }, at(t));
    api->wake(at(t));
    return answer.value();
  }
  net::Response admin(int t, const std::string& method, const std::string& path,
                      std::string body = "") {
    net::Request request{.method = method, .path = path, .body = std::move(body)};
    request.headers.add("Authorization", "Bearer " + token);
    return ask(t, std::move(request));
  }
  net::Response create(const wire::RolloutRequest& plan) {
    return admin(1, "POST", "/v1/rollouts", wire::to_json(plan));
  }
  int command(int t, const std::string& verb, const std::string& name = "r") {
    return admin(t, "POST", "/v1/rollouts/" + name + "/" + verb, "{}").status;
  }
  wire::RolloutInfo info(int t, const std::string& name = "r") { return detail(t, name).rollout; }
  wire::RolloutDetail detail(int t, const std::string& name = "r") {
    return wire::parse_rollout_detail(admin(t, "GET", "/v1/rollouts/" + name).body).value();
  }
  net::Response as(int t, int n, const std::string& path, std::string body) {
    net::Request request{.method = "POST", .path = path, .body = std::move(body)};
    request.peer.device = device(n);
    return ask(t, std::move(request));
  }
  // A poll of a device that has applied `applied` and lacks `missing` bytes of the new layer; 0: it
  // holds it.
  wire::PollReply poll(int t, int n, std::vector<LayerId> applied, std::int64_t missing = -1) {
    wire::PollRequest request{.applied = std::move(applied)};
    if (missing > 0) request.wants = {{kNew, missing}};
    if (missing >= 0)
      request.layers = {{kNew, missing > 0 ? "waiting-for-lease" : "local-cache", missing}};
    return wire::parse_poll_reply(as(t, n, "/v1/node/poll", wire::to_json(request)).body).value();
  }
  format::DeviceTarget target(int t, int n) {
    const auto reply = poll(t, n, {});
    const PublicKey trusted = key.public_key();
    const auto opened = format::open_record(format::RecordType::target, reply.target.value(),
                                            std::span(&trusted, 1));
    return format::parse_target(opened.value().record).value();
  }
  void fails(int t, int n, const std::string& text = "disk full") {
    const auto sequence = catalog.device(device(n))->target_sequence;
    const wire::Report report{.operation = "apply", .target_sequence = sequence, .text = text};
    REQUIRE(as(t, n, "/v1/node/report", wire::to_json(report)).status == 201);
  }
  std::vector<std::string> audited(const std::string& prefix) {
    std::vector<std::string> actions;
    const auto log = catalog.audit_log(1000);
    CHECK(log->intact);
    for (const auto& entry : log->entries)
      if (entry.action.starts_with(prefix)) actions.push_back(entry.action);
    return actions;
  }
};

wire::RolloutRequest plan(std::vector<wire::RolloutWave> waves) {
  return {.name = "r", .layers = {"os:2.0"}, .waves = std::move(waves)};
}
wire::RolloutWave wave(std::string site) {
  return {.sites = {std::move(site)}, .success_percent = 100, .failure_percent = 0};
}

}  // namespace

TEST_CASE("rollout api: waves follow one another to the end", "[origin]") {
  Bench bench;
  bench.site("lab", {1});
  bench.site("shop", {11, 12});
  auto waves = std::vector{wave("lab"), wave("shop")};
  waves[1].success_percent = 50;
  auto request = plan(waves);
  request.wan_budget = "up to 10 MB";
  REQUIRE(bench.create(request).status == 201);
  CHECK(bench.info(2).phase == "planned");
  CHECK(bench.catalog.device(device(1))->target_sequence == 0);

  REQUIRE(bench.command(3, "start") == 200);
  CHECK(bench.info(3).waits_for == "waiting-for-success");
  CHECK(bench.info(3).text == "wave 1: 0 of 1 devices have applied the layers, 1 are needed");
  const auto target = bench.target(4, 1);
  CHECK(target.stack == std::vector{kNew});
  CHECK(target.budget == format::WanBudget::up_to);
  CHECK(bench.catalog.device(device(11))->target_sequence == 0);

  bench.poll(5, 1, {kNew});
  CHECK(bench.info(5).current == 1);
  CHECK(bench.catalog.device(device(11))->target_sequence == 1);
  CHECK(bench.catalog.device(device(12))->target_sequence == 1);
  bench.poll(6, 12, {kNew});
  const auto done = bench.info(6);
  CHECK(done.phase == "done");
  CHECK(done.waves[1].succeeded == 1);
  CHECK(done.ended_ms == Bench::at(6).wall.ns / 1'000'000);
  CHECK(bench.audited("rollout.") ==
        std::vector<std::string>{"rollout.create", "rollout.start", "rollout.begin", "rollout.pass",
                                 "rollout.begin", "rollout.pass", "rollout.done"});
}

TEST_CASE("rollout api: a failure over the limit stops it, and says why", "[origin]") {
  Bench bench;
  bench.site("lab", {1, 2, 3});
  bench.site("shop", {11});
  auto waves = std::vector{wave("lab"), wave("shop")};
  waves[0].failure_percent = 40;
  REQUIRE(bench.create(plan(waves)).status == 201);
  bench.command(1, "start");
  bench.fails(2, 1);
  CHECK(bench.info(2).phase == "running");
  CHECK(bench.detail(2).devices[0].text == "disk full");
  bench.poll(3, 1, {kNew});  // Tried again by itself.
  CHECK(bench.info(3).waves[0].failed == 0);
  bench.fails(4, 2);
  bench.fails(5, 3);
  const auto info = bench.info(5);
  CHECK(info.phase == "stopped");
  CHECK(info.stop_reason == "failures");
  CHECK(info.text == "wave 1: 2 of 3 devices failed, more than 40 %");
  CHECK(bench.catalog.device(device(11))->target_sequence == 0);
  CHECK(bench.command(6, "resume") == 403);
}

TEST_CASE("rollout api: a device that goes back to other layers has failed", "[origin]") {
  Bench bench;
  bench.site("lab", {1, 2});
  auto waves = std::vector{wave("lab")};
  waves[0].soak_ms = 60'000;
  REQUIRE(bench.create(plan(waves)).status == 201);
  bench.command(1, "start");
  bench.poll(2, 1, {kNew});
  bench.poll(3, 1, {kOld});
  CHECK(bench.info(3).stop_reason == "failures");
}

TEST_CASE("rollout api: soak time passes by itself, also over a restart", "[origin]") {
  Bench bench;
  bench.site("lab", {1});
  bench.site("shop", {11});
  auto waves = std::vector{wave("lab"), wave("shop")};
  waves[0].soak_ms = 600'000;
  REQUIRE(bench.create(plan(waves)).status == 201);
  bench.command(1, "start");
  bench.poll(10, 1, {kNew});
  CHECK(bench.info(10).waits_for == "soaking");
  CHECK(bench.api->next_change() <= Bench::at(610).now);
  bench.start();
  bench.api->wake(Bench::at(609));
  CHECK(bench.info(609).current == 0);
  CHECK(bench.info(609).waits_for == "soaking");
  bench.api->wake(Bench::at(610));
  CHECK(bench.info(610).current == 1);
  CHECK(bench.catalog.device(device(11))->target_sequence == 1);
}

TEST_CASE("rollout api: a warm wave is staged first, and begins when its sites hold the layers",
          "[origin]") {
  Bench bench;
  bench.site("lab", {1});
  bench.site("shop", {11, 12});
  REQUIRE(bench
              .admin(1, "POST", "/v1/assignments",
                     R"({"site":"shop","devices":[],"layers":["os:1.0"]})")
              .status == 200);
  auto waves = std::vector{wave("lab"), wave("shop")};
  waves[1].warm_percent = 100;
  REQUIRE(bench.create(plan(waves)).status == 201);
  bench.command(2, "start");
  const auto staged = bench.target(3, 11);
  CHECK(staged.stack == std::vector{kOld});
  CHECK(staged.stage == std::vector{kNew});
  CHECK(bench.catalog.may_read_layer(device(11), kNew).value());
  CHECK(bench.catalog.device(device(11))->staged == std::vector<std::string>{"os:2.0"});

  bench.poll(4, 1, {kNew});
  CHECK(bench.info(4).waits_for == "waiting-for-warm");
  CHECK(bench.info(4).text == "wave 2: 0 of 1 sites hold the layers, 1 are needed");
  bench.poll(5, 11, {kOld}, 500);
  CHECK(bench.info(5).waves[1].warm_sites == 0);
  bench.poll(6, 11, {kOld}, 0);
  CHECK(bench.info(6).waits_for == "waiting-for-success");
  for (const int n : {11, 12}) {
    const auto target = bench.target(7, n);
    CHECK(target.stack == std::vector{kNew});
    CHECK(target.stage.empty());
    CHECK_FALSE(bench.catalog.device(device(n))->staged);
  }
  bench.poll(8, 11, {kNew});
  bench.poll(8, 12, {kNew});
  CHECK(bench.info(8).phase == "done");
}

TEST_CASE("rollout api: a bounded number of sites fetch it at the same time", "[origin]") {
  Bench bench;
  bench.site("a", {1, 2});
  bench.site("b", {11});
  bench.site("c", {21});
  auto everywhere = wave("a");
  everywhere.sites = {"a", "b", "c"};
  auto request = plan({everywhere});
  request.sites_at_once = 1;
  REQUIRE(bench.create(request).status == 201);
  bench.command(1, "start");

  CHECK(bench.poll(2, 1, {}, 1000).lease->holder == device(1));
  const auto waits = bench.poll(2, 11, {}, 500);
  CHECK_FALSE(waits.lease);
  CHECK(waits.site->withheld == std::vector{kNew});
  CHECK_FALSE(bench.poll(2, 21, {}, 400).lease);
  auto info = bench.info(2);
  CHECK(info.admitted == std::vector<std::string>{"a"});
  CHECK(info.sites_waiting == 2);
  CHECK(info.next_sites == std::vector<std::string>{"c", "b"});

  // The other device of the admitted site lacks everything still, but it will have it on the LAN.
  CHECK_FALSE(bench.poll(3, 2, {}, 1000).site->withheld);
  wire::LeaseRequest renewal{.epoch = 1, .wants = {{kNew, 1}}};
  CHECK(bench.as(4, 1, "/v1/node/lease", wire::to_json(renewal)).status == 200);
  CHECK_FALSE(bench.poll(5, 21, {}, 400).lease);
  renewal.wants.clear();
  CHECK(bench.as(6, 1, "/v1/node/lease", wire::to_json(renewal)).status == 200);
  // Fewest bytes first.
  CHECK(bench.poll(7, 21, {}, 400).lease->holder == device(21));
  CHECK(bench.poll(7, 11, {}, 500).site->withheld == std::vector{kNew});
  // Stopping lets nobody loose.
  bench.command(8, "stop");
  CHECK_FALSE(bench.poll(8, 11, {}, 500).lease);
  bench.poll(9, 21, {kNew}, 0);
  CHECK(bench.poll(10, 11, {}, 500).lease->holder == device(11));
}

TEST_CASE("rollout api: places survive a restart; one that nobody uses is given away", "[origin]") {
  Bench bench;
  bench.site("a", {1});
  bench.site("b", {11});
  auto everywhere = wave("a");
  everywhere.sites = {"a", "b"};
  auto request = plan({everywhere});
  request.sites_at_once = 1;
  REQUIRE(bench.create(request).status == 201);
  bench.command(1, "start");
  bench.poll(2, 1, {}, 1000);
  bench.poll(2, 11, {}, 10);
  bench.start();
  CHECK_FALSE(bench.poll(3, 11, {}, 10).lease);
  SECTION("its site comes back") { CHECK(bench.poll(4, 1, {}, 1000).lease->holder == device(1)); }
  SECTION("its site is gone") {
    for (int t = 60; t <= 180; t += 60) bench.poll(t, 11, {}, 10);
    CHECK(bench.poll(181, 11, {}, 10).lease->holder == device(11));
  }
}

TEST_CASE("rollout api: devices that get other layers by hand or are rejected count no more",
          "[origin]") {
  Bench bench;
  bench.site("lab", {1, 2, 3});
  REQUIRE(bench.create(plan({wave("lab")})).status == 201);
  bench.command(1, "start");
  bench.poll(2, 1, {kNew});
  REQUIRE(bench
              .admin(3, "POST", "/v1/assignments",
                     wire::to_json(wire::AssignmentRequest{
                         .site = "", .devices = {device(2)}, .layers = {"os:1.0"}}))
              .status == 200);
  bench.poll(4, 2, {});
  CHECK(bench.info(4).waves[0].devices == 2);
  CHECK(bench.detail(4).devices[1].outcome == "left");
  REQUIRE(bench.admin(5, "POST", "/v1/devices/" + device(3).hex() + "/reject").status == 200);
  CHECK(bench.info(5).phase == "done");
  // Also after a restart they are no members.
  bench.start();
  CHECK(bench.info(6).waves[0].devices == 1);
}

TEST_CASE("rollout api: shares and single devices, each in the first wave that names it",
          "[origin]") {
  Bench bench;
  bench.site("shop", {1, 2, 3, 4});
  const wire::RolloutWave pilot{.devices = {device(4)}, .shares = {{"shop", 25}}};
  REQUIRE(bench.create(plan({pilot, wave("shop")})).status == 201);
  bench.command(1, "start");
  CHECK(bench.info(1).waves[0].devices == 2);
  bench.poll(2, 1, {kNew});
  bench.poll(2, 4, {kNew});
  const auto detail = bench.detail(3);
  CHECK(detail.rollout.waves[1].devices == 2);
  std::vector<int> waves;
  for (const auto& row : detail.devices) waves.push_back(row.wave);
  CHECK(waves == std::vector{0, 1, 1, 0});
}

TEST_CASE("rollout api: what cannot be done is refused and changes nothing", "[origin]") {
  Bench bench;
  bench.site("lab", {1});
  const auto good = plan({wave("lab")});
  struct Row {
    const char* what;
    std::function<void(wire::RolloutRequest&)> change;
    int status;
  };
  const Row rows[] = {
      {"no waves", [](auto& p) { p.waves.clear(); }, 400},
      {"no layers", [](auto& p) { p.layers.clear(); }, 400},
      {"an unknown layer", [](auto& p) { p.layers = {"os:9"}; }, 404},
      {"an unknown site", [](auto& p) { p.waves[0].sites = {"moon"}; }, 404},
      {"an unknown device", [](auto& p) { p.waves[0].devices = {device(77)}; }, 404},
      {"an unknown site in a share",
       [](auto& p) {
         p.waves[0].shares = {{"moon", 5}};
       },
       404},
      {"a wave that names nobody", [](auto& p) { p.waves[0].sites.clear(); }, 400},
      {"a percentage", [](auto& p) { p.waves[0].success_percent = 101; }, 400},
      {"a share of nothing",
       [](auto& p) {
         p.waves[0].shares = {{"lab", 0}};
       },
       400},
      {"no site at once", [](auto& p) { p.sites_at_once = 0; }, 400},
      {"a budget", [](auto& p) { p.wan_budget = "a little"; }, 400},
      {"a name", [](auto& p) { p.name = "a/b"; }, 400},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    auto changed = good;
    row.change(changed);
    CHECK(bench.create(changed).status == row.status);
  }
  CHECK(bench.audited("rollout.").empty());
  REQUIRE(bench.create(good).status == 201);
  CHECK(bench.create(good).status == 403);
  CHECK(bench.command(2, "pause") == 403);
  CHECK(bench.command(2, "resume") == 403);
  CHECK(bench.command(2, "fly") == 404);
  CHECK(bench.command(2, "start", "other") == 404);
  CHECK(bench.admin(2, "GET", "/v1/rollouts/other").status == 404);
  CHECK(bench.command(2, "start") == 200);
  CHECK(bench.command(2, "start") == 403);
  CHECK(bench.command(3, "pause") == 200);
  CHECK(bench.command(4, "stop") == 200);
  CHECK(bench.info(4).text == "stopped by an administrator in wave 1");
  const auto list = wire::parse_rollout_list(bench.admin(5, "GET", "/v1/rollouts").body).value();
  CHECK(list.rollouts.size() == 1);
}

TEST_CASE("rollout api: a full disk delays a wave and loses none", "[origin]") {
  Bench bench;
  bench.site("lab", {1});
  REQUIRE(bench.create(plan({wave("lab")})).status == 201);
  bench.table.fail_commit = true;
  CHECK(bench.command(1, "start") == 507);
  CHECK(bench.info(1).phase == "planned");
  CHECK(bench.audited("rollout.") == std::vector<std::string>{"rollout.create"});

  bench.table.fail_commit = true;
  bench.table.commits_before_failure = 1;
  CHECK(bench.command(2, "start") == 200);
  CHECK(bench.info(2).waits_for == "waiting-for-assignment");
  CHECK_THAT(bench.info(2).text, Catch::Contains("the disk is full"));
  CHECK(bench.api->next_change() == Bench::at(32).now);
  bench.api->wake(Bench::at(31));
  CHECK(bench.catalog.device(device(1))->target_sequence == 0);
  bench.api->wake(Bench::at(32));
  CHECK(bench.catalog.device(device(1))->target_sequence == 1);
  CHECK(bench.info(33).waits_for == "waiting-for-success");
}

TEST_CASE("rollout api: an origin that stopped between a start and its wave begins it later",
          "[origin]") {
  Bench bench;
  bench.site("lab", {1});
  REQUIRE(bench.create(plan({wave("lab")})).status == 201);
  bench.table.fail_commit = true;
  bench.table.commits_before_failure = 1;
  CHECK(bench.command(2, "start") == 200);
  bench.start();
  bench.api->wake(Bench::at(3));
  CHECK(bench.catalog.device(device(1))->target_sequence == 1);
}

TEST_CASE("rollout api: when waves began and devices were done is kept, with their bytes",
          "[origin]") {
  Bench bench;
  bench.site("lab", {1});
  bench.site("shop", {11});
  REQUIRE(bench.create(plan({wave("lab"), wave("shop")})).status == 201);
  CHECK_FALSE(bench.info(1).waves[0].began_ms);
  bench.command(3, "start");
  const auto ms = [](int t) { return Bench::at(t).wall.ns / 1'000'000; };
  const auto reports = [&](int t, std::int64_t wan) {
    const wire::Report report{.operation = "apply",
                              .target_sequence = 1,
                              .finished_ms = t,
                              .ok = true,
                              .bytes_by_source = {{"origin-by-lease", wan}, {"lan-peer", 7}}};
    REQUIRE(bench.as(t, 1, "/v1/node/report", wire::to_json(report)).status == 201);
  };
  reports(20, 500);
  reports(21, 900);  // It applied the same target again: the first time was the rollout's.
  bench.poll(25, 1, {kNew});
  bench.start();
  bench.poll(30, 1, {kNew});
  const auto detail = bench.detail(31);
  CHECK(detail.rollout.waves[0].began_ms == ms(3));
  CHECK(detail.rollout.waves[1].began_ms == ms(25));
  CHECK(detail.devices[0].outcome_ms == ms(25));
  REQUIRE(detail.devices[0].bytes_by_source);
  CHECK(wire::over_line(*detail.devices[0].bytes_by_source) == 500);
  CHECK_FALSE(detail.devices[1].outcome_ms);
}
