#include "origin/monitor/watch.hpp"

#include <catch2/catch.hpp>

#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;

namespace {

constexpr int kDay = 24 * 3600;

DeviceId device(int n) {
  std::array<std::byte, DeviceId::kSize> bytes{};
  bytes.back() = static_cast<std::byte>(n);
  return DeviceId(bytes);
}
const DeviceId kAnn = device(1), kBob = device(2);

// Speaks in seconds since the origin started.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  std::optional<Sites> sites;
  Seeders seeders;
  wire::DiskSpace disk{900, 1000};
  std::map<DeviceId, wire::DiskSpace> disks;
  std::optional<Watch> watch;

  static Moment at(int t) {
    return {Instant{std::chrono::seconds{t}},
            WallTime{(t + 1'000'000) * std::int64_t{1'000'000'000}}};
  }
  void start(int t) {
    watch.reset();
    sites.emplace(catalog, PrivateKey::generate().value(), Sites::Options{});
    auto opened = Watch::open(catalog, *sites,
                              {.certificates = {{"server", at(100 * kDay).wall}},
                               .disk = [this]() -> Result<wire::DiskSpace> { return disk; },
                               .seeders = &seeders},
                              at(t));
    REQUIRE(opened);
    watch.emplace(std::move(*opened));
  }
  Bench() {
    start(0);
    REQUIRE(catalog.add_site({"test", at(0).wall}, {.name = "north"}));
    for (const DeviceId& id : {kAnn, kBob}) {
      const auto token = catalog.create_token({"test", at(0).wall},
                                              {.name = std::string("t") + (id == kAnn ? 'a' : 'b'),
                                               .kind = "enrol",
                                               .uses = 1,
                                               .ttl_ms = 1000,
                                               .site = "north"});
      REQUIRE(token);
      REQUIRE(catalog.enrol(at(0).wall, {.token = token->secret}, id, "key"));
    }
  }
  void poll(int t, const DeviceId& id, std::int64_t missing = 0) {
    wire::PollRequest poll;
    if (missing > 0) poll.wants = {{LayerId::parse(std::string(64, 'b')).value(), missing}};
    REQUIRE(catalog.note_poll(id, poll, at(t).wall));
    REQUIRE(sites->reported("north", id, poll, at(t)));
  }
  Status look(int t) {
    REQUIRE(sites->tick(at(t)));
    return watch->look(at(t), [this]() -> Result<std::vector<wire::DeviceInfo>> {
      auto all = catalog.devices();
      if (all)
        for (wire::DeviceInfo& one : *all)
          if (const auto found = disks.find(one.id); found != disks.end()) one.disk = found->second;
      return all;
    });
  }
  // "kind object", in order.
  std::vector<std::string> alerts() {
    std::vector<std::string> list;
    const auto all = catalog.alerts();
    REQUIRE(all);
    for (const wire::AlertInfo& alert : *all) list.push_back(alert.kind + ' ' + alert.object);
    return list;
  }
  std::vector<std::string> audited() {
    std::vector<std::string> list;
    const auto log = catalog.audit_log(1000);
    REQUIRE(log);
    CHECK(log->intact);
    for (const wire::AuditEntry& entry : log->entries)
      if (entry.action.starts_with("alert.")) list.push_back(entry.action + ' ' + entry.object);
    return list;
  }
};

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("watch: disks of the origin and of a device, from begin to end", "[origin]") {
  Bench bench;
  REQUIRE(bench.look(0));
  CHECK(bench.alerts().empty());
  bench.disk.free_bytes = 10;
  bench.disks[kAnn] = {1, 1000};
  REQUIRE(bench.look(30));  // Not due yet.
  CHECK(bench.alerts().empty());
  REQUIRE(bench.look(60));
  REQUIRE(bench.look(120));
  const std::string ann = "device:" + kAnn.hex();
  CHECK(bench.alerts() == Words{"disk-low " + ann, "disk-low origin"});
  bench.disks.clear();  // Not known any more: it stays.
  bench.disk.free_bytes = 900;
  REQUIRE(bench.look(180));
  CHECK(bench.alerts() == Words{"disk-low " + ann});
  CHECK(bench.audited() == Words{"alert.begin origin", "alert.begin " + ann, "alert.end origin"});
}

TEST_CASE("watch: a device that does not poll is stale; a rejected one is none", "[origin]") {
  Bench bench;
  bench.poll(7 * kDay, kBob);
  REQUIRE(bench.look(7 * kDay + 60));
  CHECK(bench.alerts() == Words{"device-stale device:" + kAnn.hex()});
  bench.poll(7 * kDay + 70, kAnn);
  REQUIRE(bench.look(7 * kDay + 120));
  CHECK(bench.alerts().empty());
  REQUIRE(bench.look(15 * kDay));
  CHECK(bench.alerts().size() == 2);
  REQUIRE(bench.catalog.reject_device({"test", bench.at(15 * kDay).wall}, kAnn));
  REQUIRE(bench.look(15 * kDay + 60));
  CHECK(bench.alerts() == Words{"device-stale device:" + kBob.hex()});
}

TEST_CASE("watch: quotas at their levels, of devices and of collections", "[origin]") {
  Bench bench;
  const Act act{"test", bench.at(0).wall};
  REQUIRE(bench.catalog.add_collection(act, {.name = "tills", .filter = "site = north"}));
  const auto snapshot = [&](const DeviceId& id, int number, std::int64_t bytes) {
    std::array<std::byte, SnapshotId::kSize> digest{};
    digest[0] = static_cast<std::byte>(number);
    REQUIRE(bench.catalog.add_snapshot(act, id, {.id = SnapshotId(digest), .plain_bytes = bytes}));
  };
  const auto set = [&](std::optional<DeviceId> id, std::optional<wire::QuotaRule> rule) {
    wire::QuotaRequest request{.device = id, .rule = rule};
    if (!id) request.collection = "tills";
    REQUIRE(bench.catalog.set_quota(act, request));
  };
  const std::string ann = "device:" + kAnn.hex();
  int t = 0;
  const auto alerts = [&] {
    REQUIRE(bench.look(t += 60));
    return bench.alerts();
  };
  set(kAnn, wire::QuotaRule{.warn_bytes = 500, .hard_bytes = 1000});
  set({}, wire::QuotaRule{.warn_bytes = 800});
  snapshot(kAnn, 1, 499);
  snapshot(kBob, 2, 300);
  CHECK(alerts().empty());
  snapshot(kAnn, 3, 600);
  CHECK(alerts() == Words{"quota-warning collection:tills", "quota-warning " + ann});
  CHECK(bench.catalog.alerts()->at(0).text ==
        "the CVDs of collection tills came to 900 B of 800 B, the warning level");
  snapshot(kAnn, 4, 1000);
  CHECK(alerts() == Words{"quota-reached " + ann, "quota-warning collection:tills"});
  CHECK(bench.catalog.alerts()->at(0).text == "the CVD came to 1000 B of 1000 B, the hard level");
  const Words before = bench.audited();
  bench.start(t);  // Nothing begins again.
  CHECK(alerts() == Words{"quota-reached " + ann, "quota-warning collection:tills"});
  CHECK(bench.audited() == before);
  set({}, {});
  CHECK(alerts() == Words{"quota-reached " + ann});
  // What is taken in no more cannot grow.
  REQUIRE(bench.catalog.reject_device(act, kAnn));
  CHECK(alerts().empty());
  CHECK(alerts().empty());
  CHECK(bench.audited().size() == before.size() + 2);
}

TEST_CASE("watch: a seeder that polls no more, or has no valid certificate", "[origin]") {
  Bench bench;
  const auto token = bench.catalog.create_token({"test", bench.at(0).wall},
                                                {.name = "east", .kind = "seeder", .ttl_ms = 1000});
  REQUIRE(token);
  const DeviceId east = device(9);
  REQUIRE(bench.catalog.join_seeder(bench.at(0).wall, token->secret, "key", east));
  REQUIRE(bench.catalog.seeder_certified({"test", bench.at(0).wall}, east,
                                         bench.at(kDay).wall.ns / 1'000'000));
  const auto poll = [&](int t) {
    bench.seeders.polled(east, "192.0.2.9:8444",
                         {.certificate_expires_ms = bench.at(600).wall.ns / 1'000'000},
                         bench.at(t).now, bench.at(t).wall);
  };
  poll(0);
  REQUIRE(bench.look(1));
  REQUIRE(bench.look(61));  // Silent, since now.
  CHECK(bench.alerts().empty());
  REQUIRE(bench.look(121));
  CHECK(bench.alerts() == Words{"seeder-silent seeder:east"});
  poll(180);
  REQUIRE(bench.look(181));
  CHECK(bench.alerts().empty());
  for (const int t : {600, 660, 720}) {  // It polls, but may not serve.
    poll(t);
    REQUIRE(bench.look(t + 1));
  }
  CHECK(bench.alerts() == Words{"seeder-silent seeder:east"});
  REQUIRE(bench.catalog.remove_seeder({"test", bench.at(730).wall}, "east"));
  REQUIRE(bench.look(781));
  CHECK(bench.alerts().empty());
}

TEST_CASE("watch: a device that polls and does not renew its certificate", "[origin]") {
  Bench bench;
  REQUIRE(bench.catalog.certificate_issued({"test", bench.at(0).wall}, kAnn,
                                           bench.at(7 * kDay).wall.ns / 1'000'000));
  bench.poll(3 * kDay, kAnn);
  REQUIRE(bench.look(3 * kDay));
  CHECK(bench.alerts().empty());
  bench.poll(5 * kDay, kAnn);
  REQUIRE(bench.look(5 * kDay));
  CHECK(bench.alerts() == Words{"certificate-expiring device:" + kAnn.hex()});
}

TEST_CASE("watch: a site whose devices wait and of which none takes the lease", "[origin]") {
  Bench bench;
  bench.poll(0, kAnn, 900);
  REQUIRE(bench.sites->set_appoint("north", false, bench.at(1)));
  for (int t = 1; t <= 61; t += 5) REQUIRE(bench.look(t));
  CHECK(bench.alerts() == Words{"reflector-down site:north"});
  // Polls keep it a member; the lease is granted to it once it may be.
  REQUIRE(bench.sites->set_appoint("north", true, bench.at(62)));
  bench.poll(63, kAnn, 900);
  REQUIRE(bench.look(66));
  CHECK(bench.alerts().empty());
}

TEST_CASE("watch: after a restart nothing begins again, and a site that is silent ends",
          "[origin]") {
  Bench bench;
  bench.disk.free_bytes = 10;
  bench.poll(0, kAnn, 900);
  REQUIRE(bench.sites->set_appoint("north", false, bench.at(1)));
  for (int t = 5; t <= 70; t += 5) REQUIRE(bench.look(t));
  const Words before = bench.audited();
  CHECK(bench.alerts() == Words{"disk-low origin", "reflector-down site:north"});

  bench.start(1000);
  REQUIRE(bench.look(1000));
  CHECK(bench.audited() == before);
  REQUIRE(bench.look(1149));
  CHECK(bench.alerts().size() == 2);
  REQUIRE(bench.look(1155));
  CHECK(bench.alerts() == Words{"disk-low origin"});
}

TEST_CASE("watch: what the catalogue cannot take is kept with a later look", "[origin]") {
  Bench bench;
  bench.disk.free_bytes = 10;
  bench.table.fail_commit = true;
  CHECK_FALSE(bench.look(0));
  CHECK(bench.alerts().empty());
  REQUIRE(bench.look(5));
  CHECK(bench.alerts() == Words{"disk-low origin"});
  const auto alerts = bench.catalog.alerts();
  REQUIRE(alerts);
  CHECK(alerts->at(0).since_ms == Bench::at(0).wall.ns / 1'000'000);
}
