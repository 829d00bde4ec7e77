#include <catch2/catch.hpp>

#include "origin/catalog/catalog.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;

namespace {

const DeviceId kAnn = id_of<DeviceId>(1), kBob = id_of<DeviceId>(2), kEve = id_of<DeviceId>(3);
const Act kAct{"admin:root", WallTime{5'000'000'000}};
using Ids = std::vector<DeviceId>;
using Names = std::vector<std::string>;

struct Bench {
  MemoryTable table;
  Catalog catalog{table};

  Bench() {
    for (const char* site : {"shop", "depot"}) REQUIRE(catalog.add_site(kAct, {.name = site}));
    enrol(kAnn, "shop");
    enrol(kBob, "shop");
    enrol(kEve, "depot");
    REQUIRE(catalog.add_collection(kAct, {.name = "shops", .filter = "site = shop"}));
    REQUIRE(catalog.add_collection(kAct, {.name = "pilots", .devices = Ids{kBob, kEve}}));
    catalog.take_changed_devices();
  }
  void enrol(const DeviceId& id, const std::string& site) {
    const auto token = catalog.create_token(
        kAct, {.name = id.hex(), .kind = "enrol", .uses = 1, .ttl_ms = 1'000'000, .site = site});
    REQUIRE(token);
    REQUIRE(catalog.enrol(kAct.now, {.token = token->secret, .host_name = site}, id, "print"));
  }
  static wire::PolicyRequest request(const std::string& name, const std::string& path = "srv/x") {
    return {.name = name, .rules = {.unprotected = {{"some", {path}, {}}}, .user = {}}};
  }
  wire::PolicyReply set(const std::string& name, const std::string& path = "srv/x") {
    auto reply = catalog.set_policy(kAct, request(name, path));
    if (!reply) FAIL(reply.error().text());
    return *reply;
  }
  wire::PolicyAssignReply assign(const std::optional<std::string>& policy, const Ids& devices,
                                 const std::optional<std::string>& collection = std::nullopt) {
    auto reply = catalog.assign_policy(
        kAct, {.policy = policy, .devices = devices, .collection = collection});
    if (!reply) FAIL(reply.error().text());
    return *reply;
  }
  std::string of(const DeviceId& id) const {
    const auto policy = catalog.policy_of(catalog.device(id).value());
    REQUIRE(policy);
    return policy->policy.name + ' ' + std::to_string(policy->policy.version) + " by " + policy->by;
  }
  std::string last_audit() const {
    const auto entry = catalog.audit_log(1)->entries.at(0);
    return entry.action + ' ' + entry.object + ' ' + entry.detail;
  }
};

}  // namespace

TEST_CASE("policies: every change is a version, and what is so already is none", "[origin]") {
  Bench bench;
  CHECK(bench.set("office").info.policy.version == 1);
  CHECK(bench.last_audit() == "policy.set office version=1 unprotected=some user=");
  const auto second = bench.set("office", "srv/y").info;
  CHECK(second.policy.version == 2);
  CHECK(second.changed_by == "admin:root");
  CHECK(bench.set("office", "srv/y").info.policy == second.policy);
  CHECK(bench.catalog.policy_versions("office")->versions.size() == 2);
  CHECK(bench.catalog.policy("office")->policy.version == 2);
  const auto first = bench.catalog.policy("office", 1);
  REQUIRE(first);
  CHECK(first->policy.rules == Bench::request("office").rules);
  CHECK(first->policy.id != second.policy.id);
  CHECK(bench.catalog.policy("office", 3).error().kind() == ErrorKind::not_found);
  CHECK(bench.catalog.policy("none").error().kind() == ErrorKind::not_found);
}

TEST_CASE("policies: what is wrong with one is refused before anything changes", "[origin]") {
  Bench bench;
  const auto refused = [&](wire::PolicyRequest request, const char* why,
                           ErrorKind kind = ErrorKind::invalid) {
    const auto reply = bench.catalog.set_policy(kAct, request);
    REQUIRE_FALSE(reply);
    CHECK(reply.error().kind() == kind);
    CHECK_THAT(reply.error().text(), Catch::Contains(why));
  };
  refused(Bench::request("a b"), "name");
  refused(Bench::request("factory"), "factory", ErrorKind::refused);
  refused(Bench::request("office", "/srv"), "'/srv'");
  auto request = Bench::request("office");
  request.interval_ms = 1000;
  refused(request, "1 minute");
  request.interval_ms = std::int64_t{32} * 24 * 3'600'000;
  refused(request, "31 days");
  request.interval_ms.reset();
  request.retention = wire::RetentionRule{};
  refused(request, "newest");
  CHECK(bench.catalog.policies()->policies.empty());
}

TEST_CASE("policies: a device's own assignment, else the collection assigned last", "[origin]") {
  Bench bench;
  bench.set("office"), bench.set("pilot", "srv/p"), bench.set("own", "srv/o");
  CHECK(bench.of(kAnn) == "factory 0 by factory");
  CHECK(bench.assign("office", {}, "shops").devices == Ids{kAnn, kBob});
  CHECK(bench.last_audit() == "policy.assign collection:shops policy=office");
  CHECK(bench.catalog.take_changed_devices() == std::set<DeviceId>{kAnn, kBob});
  CHECK(bench.of(kAnn) == "office 1 by collection shops");
  CHECK(bench.of(kEve) == "factory 0 by factory");
  const auto pilots = bench.assign("pilot", {}, "pilots");
  CHECK(pilots.devices == Ids{kBob, kEve});
  CHECK(pilots.policies == Names{"pilot", "pilot"});
  CHECK(bench.of(kBob) == "pilot 1 by collection pilots");
  CHECK(bench.assign("own", {kBob}).devices == Ids{kBob});
  CHECK(bench.of(kBob) == "own 1 by device");
  // Assigned anew, a collection is the last one.
  bench.assign("office", {}, "shops");
  const auto back = bench.assign(std::nullopt, {kBob});
  CHECK(back.policies == Names{"office"});
  CHECK(bench.of(kBob) == "office 1 by collection shops");
  // No policy, whatever its collections have.
  bench.assign("factory", {kBob});
  CHECK(bench.of(kBob) == "factory 0 by device");
  CHECK(bench.catalog.assign_policy(kAct, {.devices = Ids{kEve}}).error().kind() ==
        ErrorKind::not_found);
}

TEST_CASE("policies: a filter is evaluated whenever a device's policy is asked for", "[origin]") {
  Bench bench;
  bench.set("office");
  bench.assign("office", {}, "shops");
  CHECK(bench.of(kEve) == "factory 0 by factory");
  REQUIRE(bench.catalog.place_device(kAct, kEve, "shop"));
  CHECK(bench.of(kEve) == "office 1 by collection shops");
  REQUIRE(bench.catalog.change_collection(kAct, "shops", {.devices = Ids{kAnn}}));
  CHECK(bench.of(kEve) == "factory 0 by factory");
  CHECK(bench.of(kAnn) == "office 1 by collection shops");
}

TEST_CASE("policies: a new version reaches those that have the policy", "[origin]") {
  Bench bench;
  CHECK(bench.set("office").devices.empty());
  bench.assign("office", {}, "shops");
  bench.catalog.take_changed_devices();
  CHECK(bench.set("office", "srv/y").devices == Ids{kAnn, kBob});
  CHECK(bench.catalog.take_changed_devices() == std::set<DeviceId>{kAnn, kBob});
  CHECK(bench.set("office", "srv/y").devices.empty());
}

TEST_CASE("policies: a rehearsal changes nothing, and is forgotten", "[origin]") {
  Bench bench;
  bench.set("office");
  {
    const Catalog::Rehearsal rehearsal(bench.catalog);
    CHECK(bench.assign("office", {kAnn}).devices == Ids{kAnn});
    CHECK(bench.of(kAnn) == "factory 0 by factory");
  }
  CHECK(bench.of(kAnn) == "factory 0 by factory");
  CHECK(bench.catalog.take_changed_devices().empty());
}

TEST_CASE("policies: what is in use stays", "[origin]") {
  Bench bench;
  bench.set("office");
  bench.assign("office", {}, "shops");
  CHECK(bench.catalog.remove_policy(kAct, "office").error().kind() == ErrorKind::refused);
  CHECK(bench.catalog.remove_collection(kAct, "shops").error().kind() == ErrorKind::refused);
  bench.assign(std::nullopt, {}, "shops");
  REQUIRE(bench.catalog.remove_policy(kAct, "office"));
  REQUIRE(bench.catalog.remove_collection(kAct, "shops"));
  CHECK(bench.catalog.policies()->policies.empty());
  CHECK(bench.catalog.remove_policy(kAct, "office").error().kind() == ErrorKind::not_found);
  // One of the same name is another one.
  const auto again = bench.set("office", "srv/z").info.policy;
  CHECK(again.version == 1);
  CHECK(bench.catalog.policy_versions("office")->versions.size() == 1);
}

TEST_CASE("policies: who is meant is named once, and is there", "[origin]") {
  Bench bench;
  bench.set("office");
  const auto kind = [&](const wire::PolicyAssignRequest& request) {
    return bench.catalog.assign_policy(kAct, request).error().kind();
  };
  CHECK(kind({.policy = "office"}) == ErrorKind::invalid);
  CHECK(kind({.policy = "office", .devices = Ids{kAnn}, .collection = "shops"}) ==
        ErrorKind::invalid);
  CHECK(kind({.policy = "none", .devices = Ids{kAnn}}) == ErrorKind::not_found);
  CHECK(kind({.policy = "office", .devices = Ids{id_of<DeviceId>(9)}}) == ErrorKind::not_found);
  CHECK(kind({.policy = "office", .collection = "none"}) == ErrorKind::not_found);
}

TEST_CASE("policies: retention is the device's, else the policy's, else that for all", "[origin]") {
  Bench bench;
  const auto forget = [&] { return bench.catalog.forget_snapshots(kAct, kAnn, {.dry_run = true}); };
  CHECK(forget().error().kind() == ErrorKind::refused);
  auto request = Bench::request("office");
  request.retention = wire::RetentionRule{.newest = 1};
  REQUIRE(bench.catalog.set_policy(kAct, request));
  bench.assign("office", {kAnn});
  for (int i = 1; i <= 3; ++i)
    REQUIRE(bench.catalog.add_snapshot(
        kAct, kAnn, {.id = id_of<SnapshotId>(i), .created_ms = i * 1000, .reason = "interval"}));
  const auto kept = [&] {
    const auto reply = forget();
    REQUIRE(reply);
    return std::ranges::count_if(reply->snapshots,
                                 [](const auto& s) { return !s.kept_as.empty(); });
  };
  CHECK(kept() == 1);
  REQUIRE(bench.catalog.set_retention(kAct, std::nullopt, wire::RetentionRule{.newest = 3}));
  CHECK(kept() == 1);
  REQUIRE(bench.catalog.set_retention(kAct, kAnn, wire::RetentionRule{.newest = 2}));
  CHECK(kept() == 2);
  REQUIRE(bench.catalog.set_retention(kAct, kAnn, std::nullopt));
  bench.assign(std::nullopt, {kAnn});
  CHECK(kept() == 3);
}

TEST_CASE("snooze: every word of an administrator has a higher number", "[origin]") {
  Bench bench;
  const auto first = bench.catalog.snooze_device(kAct, kAnn, std::chrono::hours{2});
  REQUIRE(first);
  CHECK(*first == wire::Snooze{1, 5'000 + 7'200'000});
  CHECK(bench.catalog.take_changed_devices() == std::set<DeviceId>{kAnn});
  CHECK(bench.last_audit() == "device.snooze device:" + kAnn.hex() + " until=1970-01-01T02:00:05Z");
  const auto off = bench.catalog.snooze_device(kAct, kAnn, {});
  REQUIRE(off);
  CHECK(*off == wire::Snooze{2, 0});
  CHECK(bench.catalog.device(kAnn)->snooze == *off);
  CHECK(bench.catalog.snooze_device(kAct, kAnn, std::chrono::hours{25}).error().kind() ==
        ErrorKind::invalid);
  CHECK(bench.catalog.snooze_device(kAct, id_of<DeviceId>(9), {}).error().kind() ==
        ErrorKind::not_found);
}
