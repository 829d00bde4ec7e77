#include "origin/catalog/catalog.hpp"

#include <catch2/catch.hpp>

#include "origin/catalog/kv_table.hpp"
#include "origin/catalog/secret.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/memory_table.hpp"
#include "tests/support/scratch_directory.hpp"

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;
using wire::DeviceStatus;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

const DeviceId kAnn = id_of<DeviceId>(1), kBob = id_of<DeviceId>(2);

// Speaks to the catalogue in seconds since the test began.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};

  static Act at(std::int64_t seconds) { return {"admin:root", WallTime{seconds * kSecond}}; }

  std::string token(std::string name, std::string kind, std::int64_t uses, std::string site = "") {
    auto reply = catalog.create_token(
        at(0), {.name = name, .kind = kind, .uses = uses, .ttl_ms = 100'000, .site = site});
    REQUIRE(reply);
    return reply->secret;
  }
  Result<wire::DeviceInfo> enrol(const std::string& secret, DeviceId id, std::int64_t seconds = 1) {
    return catalog.enrol(WallTime{seconds * kSecond}, {.token = secret}, id, "fingerprint");
  }
  void site(const std::string& name) { REQUIRE(catalog.add_site(at(0), {.name = name})); }
  Status publish(const std::string& name, const std::string& version, const std::string& kind,
                 int id, std::vector<ChunkId> chunks = {}) {
    return catalog.add_layer(at(1),
                             {.id = id_of<LayerId>(id),
                              .name = name,
                              .version = version,
                              .kind = kind,
                              .os_family = "linux",
                              .architecture = "amd64"},
                             chunks);
  }
  Result<wire::AssignmentReply> assign(wire::AssignmentRequest request) {
    return catalog.assign(
        at(5), request,
        [](const wire::DeviceInfo& device, const std::vector<LayerId>& stack,
           const std::vector<LayerId>&) -> Result<Buffer> {
          return to_buffer(std::string_view(std::to_string(device.target_sequence) + "/" +
                                            std::to_string(stack.size())));
        });
  }
};

}  // namespace

TEST_CASE("tokens: the secret is nowhere in the table", "[origin]") {
  Bench bench;
  const auto secret = bench.token("root", "admin", 0);
  CHECK(secret.size() == 64);
  for (const auto& [key, value] : bench.table.rows()) {
    CHECK(key.find(secret) == std::string::npos);
    CHECK(value.find(secret) == std::string::npos);
  }
  CHECK(bench.catalog.check_admin(secret, WallTime{1}).value() == "root");
}

TEST_CASE("tokens: an administrator's token ends at its expiry and at its revocation", "[origin]") {
  Bench bench;
  const auto secret = bench.token("root", "admin", 0);
  CHECK(bench.catalog.check_admin(secret, WallTime{99 * kSecond}));
  CHECK_FALSE(bench.catalog.check_admin(secret, WallTime{100 * kSecond}));
  REQUIRE(bench.catalog.revoke_token(Bench::at(2), "root"));
  CHECK_FALSE(bench.catalog.check_admin(secret, WallTime{3 * kSecond}));
  CHECK(bench.catalog.revoke_token(Bench::at(3), "root").error().kind() == ErrorKind::not_found);
}

TEST_CASE("tokens: wrong, expired and enrolment secrets are refused with one text", "[origin]") {
  Bench bench;
  const auto admin = bench.token("root", "admin", 0);
  const auto enrol = bench.token("shop", "enrol", 3);
  const auto wrong = bench.catalog.check_admin("guess", WallTime{1});
  const auto expired = bench.catalog.check_admin(admin, WallTime{200 * kSecond});
  const auto other = bench.catalog.check_admin(enrol, WallTime{1});
  REQUIRE((!wrong && !expired && !other));
  CHECK(wrong.error().text() == expired.error().text());
  CHECK(wrong.error().text() == other.error().text());
}

TEST_CASE("tokens: requests that break the rules", "[origin]") {
  Bench bench;
  bench.token("taken", "admin", 0);
  const std::vector<wire::TokenRequest> wrong{
      {.name = "taken", .kind = "admin", .ttl_ms = 1},
      {.name = "a/b", .kind = "admin", .ttl_ms = 1},
      {.name = "n", .kind = "root", .ttl_ms = 1},
      {.name = "n", .kind = "admin", .ttl_ms = 0},
      {.name = "n", .kind = "admin", .uses = 1, .ttl_ms = 1},
      {.name = "n", .kind = "enrol", .uses = 0, .ttl_ms = 1},
      {.name = "n", .kind = "enrol", .uses = 1, .ttl_ms = 1, .site = "nowhere"}};
  for (const auto& request : wrong) CHECK_FALSE(bench.catalog.create_token(Bench::at(0), request));
}

TEST_CASE("enrolment: a batch token is good for its uses and no more", "[origin]") {
  Bench bench;
  const auto secret = bench.token("batch", "enrol", 2);
  CHECK(bench.enrol(secret, kAnn)->status == DeviceStatus::pending);
  CHECK(bench.enrol(secret, kBob));
  const auto third = bench.enrol(secret, id_of<DeviceId>(3));
  REQUIRE_FALSE(third);
  CHECK(third.error().kind() == ErrorKind::refused);
  CHECK_THAT(third.error().text(), Catch::Contains("used up"));
  CHECK(bench.catalog.devices()->size() == 2);
}

TEST_CASE("enrolment: expired, unknown and administrator tokens enrol nobody", "[origin]") {
  Bench bench;
  const auto secret = bench.token("batch", "enrol", 2);
  CHECK_FALSE(bench.enrol(secret, kAnn, 100));
  CHECK_FALSE(bench.enrol("guess", kAnn));
  CHECK_FALSE(bench.enrol(bench.token("root", "admin", 0), kAnn));
  CHECK(bench.catalog.devices()->empty());
}

TEST_CASE("enrolment: a use is not spent when the disk is full", "[origin]") {
  Bench bench;
  const auto secret = bench.token("once", "enrol", 1);
  bench.table.fail_commit = true;
  CHECK_FALSE(bench.enrol(secret, kAnn));
  CHECK(bench.enrol(secret, kAnn));
}

TEST_CASE("enrolment: a token with a site places the device at once", "[origin]") {
  Bench bench;
  bench.site("shop");
  const auto device = bench.enrol(bench.token("t", "enrol", 1, "shop"), kAnn);
  CHECK(device->status == DeviceStatus::assigned);
  CHECK(device->site == "shop");
  CHECK(bench.catalog.sites()->at(0).devices == 1);
}

TEST_CASE("devices: a rejected device stays rejected and loses its target", "[origin]") {
  Bench bench;
  bench.site("shop");
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1, "shop"), kAnn));
  REQUIRE(bench.publish("os", "1.0", "base", 1));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
  REQUIRE(bench.catalog.reject_device(Bench::at(6), kAnn));
  CHECK(bench.catalog.device(kAnn)->status == DeviceStatus::rejected);
  CHECK_FALSE(bench.catalog.target(kAnn));
  CHECK_FALSE(bench.catalog.may_read_layer(kAnn, id_of<LayerId>(1)).value());
  CHECK_FALSE(bench.catalog.place_device(Bench::at(7), kAnn, "shop"));
  CHECK_FALSE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
}

TEST_CASE("devices: a poll that says nothing new writes nothing", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1), kAnn));
  const wire::PollRequest poll{.applied_sequence = 2, .lan_address = "10.0.0.1"};
  REQUIRE(bench.catalog.note_poll(kAnn, poll, Bench::at(10).now));
  CHECK(bench.catalog.device(kAnn)->applied_sequence == 2);
  bench.table.fail_commit = true;
  CHECK(bench.catalog.note_poll(kAnn, poll, Bench::at(10).now));
}

TEST_CASE("devices: what a waiting poll answers is noted when it changes", "[origin]") {
  Bench bench;
  bench.site("shop");
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1), kAnn));
  REQUIRE(bench.publish("os", "1.0", "base", 1));
  bench.catalog.take_changed_devices();
  const std::set<DeviceId> ann{kAnn};
  REQUIRE(bench.catalog.note_poll(kAnn, {.applied_sequence = 2}, Bench::at(1).now));
  CHECK(bench.catalog.take_changed_devices().empty());
  REQUIRE(bench.catalog.place_device(Bench::at(1), kAnn, "shop"));
  CHECK(bench.catalog.take_changed_devices() == ann);
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
  CHECK(bench.catalog.take_changed_devices() == ann);
  REQUIRE(bench.catalog.reject_device(Bench::at(2), kAnn));
  CHECK(bench.catalog.take_changed_devices() == ann);
  CHECK(bench.catalog.take_changed_devices().empty());
}

TEST_CASE("layers: versions only go up", "[origin]") {
  Bench bench;
  REQUIRE(bench.publish("os", "1.9", "base", 1));
  REQUIRE(bench.publish("os", "1.10", "base", 2));
  REQUIRE(bench.publish("os-extra", "1.0", "base", 3));  // Another name, its own versions.
  for (const char* version : {"1.10", "1.9", "1.0"}) {
    const auto again = bench.publish("os", version, "base", 4);
    REQUIRE_FALSE(again);
    CHECK(again.error().kind() == ErrorKind::refused);
    CHECK_THAT(again.error().text(), Catch::Contains("1.10"));
  }
  CHECK_FALSE(bench.catalog.check_new_version("os", "1.10"));
  CHECK(bench.catalog.check_new_version("os", "2"));
  CHECK(bench.catalog.layers()->size() == 3);
  CHECK(bench.catalog.layer("os:1.10")->id == id_of<LayerId>(2));
}

TEST_CASE("assignments: each raises the device's sequence and signs a new target", "[origin]") {
  Bench bench;
  bench.site("shop");
  const auto secret = bench.token("t", "enrol", 2, "shop");
  REQUIRE(bench.enrol(secret, kAnn));
  REQUIRE(bench.enrol(secret, kBob));
  REQUIRE(bench.publish("os", "1.0", "base", 1));
  REQUIRE(bench.publish("office", "1.0", "app", 2));

  CHECK(bench.assign({.site = "shop", .layers = {"os:1.0"}})->devices.size() == 2);
  REQUIRE(bench.assign({.devices = {kBob}, .layers = {"os:1.0", "office:1.0"}}));
  CHECK(as_text(*bench.catalog.target(kAnn)) == "1/1");
  CHECK(as_text(*bench.catalog.target(kBob)) == "2/2");
  CHECK(bench.catalog.may_read_layer(kBob, id_of<LayerId>(2)).value());
  CHECK_FALSE(bench.catalog.may_read_layer(kAnn, id_of<LayerId>(2)).value());
}

TEST_CASE("assignments: a refused one changes no device", "[origin]") {
  Bench bench;
  bench.site("shop");
  bench.site("empty");
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1, "shop"), kAnn));
  REQUIRE(bench.enrol(bench.token("u", "enrol", 1), kBob));  // Pending.
  REQUIRE(bench.publish("os", "1.0", "base", 1));
  REQUIRE(bench.publish("office", "1.0", "app", 2));

  CHECK_FALSE(bench.assign({.devices = {kAnn}, .layers = {"office:1.0"}}));
  CHECK_FALSE(bench.assign({.devices = {kAnn, kBob}, .layers = {"os:1.0"}}));
  CHECK_FALSE(bench.assign({.devices = {kAnn}, .layers = {"os:9"}}));
  CHECK_FALSE(bench.assign({.site = "empty", .layers = {"os:1.0"}}));
  CHECK_FALSE(bench.assign({.site = "nowhere", .layers = {"os:1.0"}}));
  CHECK_FALSE(bench.assign({.layers = {"os:1.0"}}));
  CHECK_FALSE(bench.assign({.site = "shop", .devices = {kAnn}, .layers = {"os:1.0"}}));
  CHECK(bench.catalog.device(kAnn)->target_sequence == 0);
  CHECK_FALSE(bench.catalog.target(kAnn));
}

TEST_CASE("enforcement: it stays in a device's targets until one of them was applied", "[origin]") {
  Bench bench;
  bench.site("shop");
  const auto secret = bench.token("t", "enrol", 2, "shop");
  REQUIRE(bench.enrol(secret, kAnn));
  REQUIRE(bench.enrol(secret, kBob));
  REQUIRE(bench.publish("os", "1.0", "base", 1));
  REQUIRE(bench.publish("os", "2.0", "base", 2));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
  const auto enforce = [&](std::vector<DeviceId> devices, const char* how) {
    return bench.assign({.devices = std::move(devices), .enforce = how});
  };
  // Bob has no layers: nobody is enforced.
  const auto refused = enforce({kAnn, kBob}, "keep-user-apps");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind() == ErrorKind::refused);
  CHECK_FALSE(bench.catalog.device(kAnn)->enforce);

  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:2.0"}, .stage = true}));
  REQUIRE(enforce({kAnn}, "remove-user-apps"));
  auto ann = bench.catalog.device(kAnn).value();
  CHECK(ann.target_sequence == 3);
  CHECK(ann.target == std::vector<std::string>{"os:1.0"});
  CHECK(ann.staged == std::vector<std::string>{"os:2.0"});
  CHECK(ann.enforce == "remove-user-apps");
  CHECK(ann.enforce_number == 3);
  // Another target before the device came to it carries it on, with its number.
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:2.0"}}));
  CHECK(bench.catalog.device(kAnn)->enforce_number == 3);
  // It can be taken back, and ends with the last layer.
  REQUIRE(enforce({kAnn}, "none"));
  CHECK_FALSE(bench.catalog.device(kAnn)->enforce);
  REQUIRE(enforce({kAnn}, "keep-user-apps"));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {}}));
  CHECK_FALSE(bench.catalog.device(kAnn)->enforce);
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
  REQUIRE(enforce({kAnn}, "keep-user-apps"));
  // The device applied that: the next target is without.
  REQUIRE(bench.catalog.note_poll(kAnn, {.target_sequence = 9, .applied_sequence = 9}, {}, ""));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:2.0"}}));
  CHECK_FALSE(bench.catalog.device(kAnn)->enforce);
  CHECK_FALSE(bench.catalog.device(kAnn)->enforce_number);
  CHECK_FALSE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}, .enforce = "keep-user-apps"}));
}

TEST_CASE("upgrade: all devices move in one transaction, or none does", "[origin]") {
  Bench bench;
  bench.site("shop");
  const auto secret = bench.token("t", "enrol", 2, "shop");
  REQUIRE(bench.enrol(secret, kAnn));
  REQUIRE(bench.enrol(secret, kBob));
  REQUIRE(bench.publish("os", "1.9", "base", 1));
  REQUIRE(bench.publish("os", "1.10", "base", 2));
  REQUIRE(bench.publish("office", "1", "app", 3));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.9"}}));
  REQUIRE(bench.assign({.devices = {kBob}, .layers = {"os:1.9", "office:1"}}));
  int signatures = 0;
  const auto sign = [&](int most) {
    return [&signatures, most](const wire::DeviceInfo&, const std::vector<LayerId>&,
                               const std::vector<LayerId>&) -> Result<Buffer> {
      if (++signatures > most) return fail(ErrorKind::unavailable, "no more");
      return to_buffer(std::string_view("target"));
    };
  };
  CHECK_FALSE(bench.catalog.upgrade(bench.at(6), {.name = "os"}, sign(1)));
  CHECK(signatures == 2);
  CHECK(bench.catalog.device(kAnn)->target == std::vector<std::string>{"os:1.9"});
  CHECK(bench.catalog.device(kBob)->target_sequence == 1);

  const auto reply = bench.catalog.upgrade(bench.at(7), {.name = "os"}, sign(9));
  REQUIRE(reply);
  CHECK(reply->to == "os:1.10");
  CHECK(reply->moves.size() == 2);
  CHECK(bench.catalog.device(kAnn)->target == std::vector<std::string>{"os:1.10"});
  CHECK(bench.catalog.device(kBob)->target == std::vector<std::string>{"os:1.10", "office:1"});
  const auto last = bench.catalog.audit_log(1)->entries[0];
  CHECK(last.action == "layer.upgrade");
  CHECK(last.detail == "devices=2");
  CHECK(bench.catalog.upgrade(bench.at(8), {.name = "os"}, sign(9))->moves.empty());
  CHECK(bench.catalog.upgrade(bench.at(8), {.name = "off"}, sign(9)).error().kind() ==
        ErrorKind::not_found);
}

TEST_CASE("reports: what scripts said is with the transaction, not with the device", "[origin]") {
  Bench bench;
  bench.site("shop");
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1, "shop"), kAnn));
  wire::Report report{.operation = "apply", .target_sequence = 1, .ok = true};
  report.scripts = {{.layer = "os 1.0", .name = "s", .code = 3, .output = "no\n"}};
  REQUIRE(bench.catalog.add_report(bench.at(2), kAnn, report));
  CHECK(bench.catalog.transactions(kAnn)->at(0).scripts == report.scripts);
  CHECK_FALSE(bench.catalog.device(kAnn)->last_report->scripts);
  wire::PollRequest poll{.applied_sequence = 1};
  poll.restart_due = {"kernel 6"};
  REQUIRE(bench.catalog.note_poll(kAnn, poll, {}, ""));
  CHECK(bench.catalog.device(kAnn)->restart_due == poll.restart_due);
  REQUIRE(bench.catalog.note_poll(kAnn, {.applied_sequence = 1}, {}, ""));
  CHECK_FALSE(bench.catalog.device(kAnn)->restart_due);
}

TEST_CASE("cvd: what another device has stays its secret", "[origin]") {
  Bench bench;
  bench.site("shop");
  const auto secret = bench.token("t", "enrol", 2, "shop");
  REQUIRE(bench.enrol(secret, kAnn));
  REQUIRE(bench.enrol(secret, kBob));
  const auto private_chunk = id_of<ChunkId>(1), layer_chunk = id_of<ChunkId>(2);
  REQUIRE(bench.publish("os", "1.0", "base", 1, {layer_chunk}));
  REQUIRE(bench.assign({.devices = {kBob}, .layers = {"os:1.0"}}));
  REQUIRE(bench.catalog.link_chunks(kBob, {private_chunk}));

  using Ids = std::vector<ChunkId>;
  const Ids both{private_chunk, layer_chunk};
  CHECK(bench.catalog.lacks(kBob, both).value().empty());
  CHECK(bench.catalog.lacks(kAnn, both).value() == both);

  // What a device was assigned before stays its own: its snapshots rest on it.
  REQUIRE(bench.publish("os", "1.1", "base", 3, {id_of<ChunkId>(3)}));
  REQUIRE(bench.assign({.devices = {kBob}, .layers = {"os:1.1"}}));
  CHECK(bench.catalog.lacks(kBob, both).value().empty());
  CHECK_FALSE(bench.catalog.may_read_layer(kBob, id_of<LayerId>(1)).value());

  // Claiming to have applied a layer opens nothing.
  REQUIRE(bench.catalog.note_poll(kAnn, {.applied = {id_of<LayerId>(1)}}, Bench::at(10).now));
  CHECK(bench.catalog.lacks(kAnn, both).value() == both);
}

TEST_CASE("cvd: snapshots are numbered, and sending one twice adds one", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1), kAnn));
  for (const int n : {1, 2, 2})
    REQUIRE(bench.catalog.add_snapshot(Bench::at(n), kAnn,
                                       {.id = id_of<SnapshotId>(n), .created_ms = n}));
  const auto list = bench.catalog.snapshots(kAnn);
  REQUIRE(list->size() == 2);
  CHECK(list->at(1).number == 2);
  CHECK(bench.catalog.cvds()->at(0).newest_ms == 2);
  CHECK_FALSE(bench.catalog.snapshots(kBob));
}

TEST_CASE("layers: one that is needed is not removed, and who needs it is named", "[origin]") {
  Bench bench;
  bench.site("shop");
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1, "shop"), kAnn));
  const auto shared = id_of<ChunkId>(7), old = id_of<ChunkId>(8);
  REQUIRE(bench.publish("os", "1.0", "base", 1, {shared, old}));
  REQUIRE(bench.publish("os", "1.1", "base", 2, {shared}));
  const auto refused = [&](const std::string& word) {
    const auto removed = bench.catalog.remove_layer(Bench::at(9), id_of<LayerId>(1));
    REQUIRE_FALSE(removed);
    CHECK(removed.error().kind() == ErrorKind::refused);
    CHECK_THAT(removed.error().text(), Catch::Contains(word));
    CHECK(bench.catalog.layer("os:1.0"));
  };
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
  refused("assigned to device " + kAnn.hex());
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.1"}}));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}, .stage = true}));
  refused("staged on device " + kAnn.hex());
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {}, .stage = true}));
  wire::RolloutInfo rollout{.plan = {.name = "spring", .layers = {"os:1.0"}}, .phase = "paused"};
  REQUIRE(bench.catalog.add_rollout(Bench::at(6), rollout));
  refused("rollout spring is paused");
  rollout.phase = "stopped";
  REQUIRE(bench.catalog.note_rollout(Bench::at(7), rollout, "", ""));

  // Ann's snapshots rest on it.
  CHECK(bench.catalog.lacks(kAnn, {shared, old})->empty());
  REQUIRE(bench.catalog.remove_layer(Bench::at(9), id_of<LayerId>(1)));
  CHECK_FALSE(bench.catalog.layer("os:1.0"));
  CHECK(bench.catalog.layers()->size() == 1);
  CHECK_FALSE(bench.catalog.may_read_layer(kAnn, id_of<LayerId>(1)).value());
  // What she has can be read; what she commits from now on rests on it no more.
  CHECK(bench.catalog.unreadable(kAnn, {shared, old})->empty());
  CHECK(bench.catalog.lacks(kAnn, {shared, old}).value() == std::vector<ChunkId>{old});
  CHECK(bench.catalog.audit_log(1)->entries[0].action == "layer.remove");
  // No other bytes ever come under that name.
  CHECK_FALSE(bench.publish("os", "1.0", "base", 3));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {}}));
  REQUIRE(bench.catalog.remove_layer(Bench::at(9), id_of<LayerId>(2)));
  CHECK_FALSE(bench.publish("os", "1.1", "base", 3));
  CHECK(bench.publish("os", "1.2", "base", 3));
  CHECK(bench.catalog.remove_layer(Bench::at(9), id_of<LayerId>(2)).error().kind() ==
        ErrorKind::not_found);
}

TEST_CASE("retention: a rule for all, and one of a device's own", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(bench.token("t", "enrol", 2), kAnn));
  CHECK_FALSE(bench.catalog.retention()->rule);
  const auto bad = [&](wire::RetentionRule rule) {
    const auto set = bench.catalog.set_retention(Bench::at(1), {}, rule);
    REQUIRE_FALSE(set);
    CHECK(set.error().kind() == ErrorKind::invalid);
  };
  bad({});
  bad({.hourly = -1});
  bad({.daily = wire::kRetentionMax + 1});
  REQUIRE(bench.catalog.set_retention(Bench::at(1), {}, wire::RetentionRule{.daily = 7}));
  CHECK_FALSE(bench.catalog.set_retention(Bench::at(1), kBob, wire::RetentionRule{.daily = 9}));
  REQUIRE(bench.catalog.set_retention(Bench::at(2), kAnn, wire::RetentionRule{.monthly = 2}));
  const auto settings = bench.catalog.retention().value();
  CHECK(settings.rule->daily == 7);
  REQUIRE(settings.devices.size() == 1);
  CHECK(settings.devices[0].device == kAnn);
  CHECK(settings.devices[0].rule.monthly == 2);
  CHECK_THAT(bench.catalog.audit_log(1)->entries[0].detail, Catch::Contains("monthly=2"));
  REQUIRE(bench.catalog.set_retention(Bench::at(3), kAnn, {}));
  CHECK(bench.catalog.retention()->devices.empty());
}

TEST_CASE("retention: what the rule does not keep goes, each noted, never the newest", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1), kAnn));
  constexpr std::int64_t kDayMs = 86'400'000;
  for (const int n : {1, 2, 3, 4})
    REQUIRE(bench.catalog.add_snapshot(
        Bench::at(n), kAnn, {.id = id_of<SnapshotId>(n), .created_ms = (n / 2) * kDayMs + n}));
  const auto forget = [&](wire::ForgetRequest request) {
    return bench.catalog.forget_snapshots(Bench::at(9), kAnn, request);
  };
  const auto kept = [&] {
    std::string numbers;
    const auto list = bench.catalog.snapshots(kAnn).value();
    for (const auto& one : list) numbers += std::to_string(one.number) + ' ';
    return numbers;
  };
  CHECK(forget({}).error().kind() == ErrorKind::refused);  // No rule: nothing goes by itself.
  REQUIRE(bench.catalog.set_retention(Bench::at(5), {}, wire::RetentionRule{.daily = 2}));
  const auto shown = forget({.snapshot = {}, .dry_run = true}).value();
  REQUIRE(shown.snapshots.size() == 4);
  CHECK(shown.snapshots[0].kept_as == std::vector<std::string>{"newest", "daily"});
  CHECK(shown.snapshots[1].kept_as == std::vector<std::string>{"daily"});
  CHECK(kept() == "1 2 3 4 ");
  REQUIRE(forget({}));
  CHECK(kept() == "3 4 ");
  const auto log = bench.catalog.audit_log(2).value();
  CHECK(log.entries[0].action == "cvd.forget");
  CHECK_THAT(log.entries[0].detail, Catch::Contains(id_of<SnapshotId>(2).hex()));
  CHECK_THAT(log.entries[1].detail, Catch::Contains("number=1 by the rule"));

  CHECK(forget({.snapshot = id_of<SnapshotId>(4), .dry_run = false}).error().kind() ==
        ErrorKind::refused);
  CHECK(forget({.snapshot = id_of<SnapshotId>(2), .dry_run = false}).error().kind() ==
        ErrorKind::not_found);
  REQUIRE(forget({.snapshot = id_of<SnapshotId>(3), .dry_run = false}));
  CHECK(kept() == "4 ");
  CHECK_FALSE(bench.catalog.has_snapshot(kAnn, id_of<SnapshotId>(3)).value());
  // Numbers go on where they were.
  REQUIRE(bench.catalog.add_snapshot(Bench::at(9), kAnn, {.id = id_of<SnapshotId>(5)}));
  CHECK(kept() == "4 5 ");
}

TEST_CASE("garbage: a device's chunk goes a grace after nothing needed it, or it was told of",
          "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1), kAnn));
  const auto needed = id_of<ChunkId>(1), told = id_of<ChunkId>(2), left = id_of<ChunkId>(3);
  REQUIRE(bench.catalog.link_chunks(kAnn, {needed, told, left}));
  const auto sweep = [&](std::int64_t seconds, bool dry_run = false) {
    return bench.catalog
        .sweep_links(
            kAnn, [&](const ChunkId& id) { return id == needed; }, WallTime{seconds * kSecond},
            std::chrono::seconds{100}, dry_run)
        .value();
  };
  CHECK(sweep(1000, true).unneeded == 2);
  CHECK(sweep(1000).unneeded == 2);
  CHECK(sweep(1099).removed == 0);
  // A question is a promise; one about others is none of theirs.
  CHECK(bench.catalog.lacks(kAnn, {needed, told})->empty());
  CHECK(sweep(1100, true).removed == 1);
  CHECK(sweep(1100).removed == 1);
  CHECK(bench.catalog.lacks(kAnn, {needed, told, left}).value() == std::vector<ChunkId>{left});
  // Sent again it counts from anew, and so does what was told of once more.
  REQUIRE(bench.catalog.link_chunks(kAnn, {left}));
  CHECK(sweep(1150).removed == 0);
  CHECK(sweep(1249).removed == 0);
  CHECK(sweep(1250).removed == 2);
  CHECK(bench.catalog.needed_by_devices(0).value() == std::vector<ChunkId>{needed});
  // What is needed again is as if nothing had been.
  CHECK(bench.catalog
            .sweep_links(
                kAnn, [](const ChunkId&) { return false; }, WallTime{1300 * kSecond},
                std::chrono::seconds{100}, false)
            ->unneeded == 1);
  CHECK(sweep(1399).unneeded == 0);
  CHECK(sweep(5000).removed == 0);
}

TEST_CASE("garbage: a removed layer's chunks stay while a device's snapshots rest on them",
          "[origin]") {
  Bench bench;
  bench.site("shop");
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1, "shop"), kAnn));
  const auto shared = id_of<ChunkId>(1), old = id_of<ChunkId>(2), own = id_of<ChunkId>(3);
  REQUIRE(bench.publish("os", "1.0", "base", 1, {shared, old, own}));
  REQUIRE(bench.publish("os", "1.1", "base", 2, {shared}));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.1"}}));
  REQUIRE(bench.catalog.link_chunks(kAnn, {own}));
  REQUIRE(bench.catalog.remove_layer(Bench::at(9), id_of<LayerId>(1)));
  std::set<ChunkId> needed{shared, old, own};
  auto removed = bench.catalog.removed_layers().value();
  CHECK(removed == std::vector<LayerId>{id_of<LayerId>(1)});
  std::vector<LayerId> none;
  const auto release = [&](bool dry_run = false) {
    return bench.catalog
        .release_layers(
            kAnn, removed, [&](const ChunkId& id) { return needed.contains(id); }, dry_run)
        .value();
  };
  CHECK(release() == 0);
  CHECK(bench.catalog.sweep_removed_layers(false).value() == 0);
  needed = {shared, own};    // In the layer that stays, and the device's own.
  std::swap(removed, none);  // As if it had been removed since the snapshots were listed.
  CHECK(release() == 0);
  std::swap(removed, none);
  CHECK(release(true) == 1);
  CHECK(bench.catalog.needed_by_layers(0)->size() == 3);
  CHECK(release() == 1);
  CHECK(bench.catalog.sweep_removed_layers(true).value() == 3);
  CHECK(bench.catalog.sweep_removed_layers(false).value() == 3);
  CHECK(bench.catalog.needed_by_layers(0).value() == std::vector<ChunkId>{shared});
  CHECK(bench.catalog.unreadable(kAnn, {shared, own})->empty());
}

TEST_CASE("garbage: collections are remembered for a while, the newest always", "[origin]") {
  Bench bench;
  const auto at = [](int day) { return WallTime{(day * 24 + 1) * 3600 * kSecond}; };
  CHECK(bench.catalog.collections()->empty());
  REQUIRE(bench.catalog.note_collection({at(1), Bytes{5}}));
  REQUIRE(bench.catalog.note_collection({at(1), Bytes{6}}));
  REQUIRE(bench.catalog.note_collection({at(61), Bytes{}}));
  const auto both = bench.catalog.collections().value();
  REQUIRE(both.size() == 2);
  CHECK(both[0].at.ns == at(1).ns);
  CHECK(both[0].removed.count == 11);
  REQUIRE(bench.catalog.note_collection({at(122), Bytes{7}}));
  const auto last = bench.catalog.collections().value();
  REQUIRE(last.size() == 1);
  CHECK(last[0].removed.count == 7);
}

TEST_CASE("leases: epochs outlive the process", "[origin]") {
  Bench bench;
  CHECK(bench.catalog.lease_epoch("shop").value() == 0);
  REQUIRE(bench.catalog.note_lease_epoch(Bench::at(1), "shop", kAnn, 7));
  CHECK(Catalog(bench.table).lease_epoch("shop").value() == 7);
  CHECK_FALSE(bench.catalog.note_lease_epoch(Bench::at(1), "shop", kAnn, 7));
  CHECK(bench.catalog.note_lease_epoch(Bench::at(1), "depot", kAnn, 1));
  // Both grants, and not the refused one, are in the audit log.
  const auto log = bench.catalog.audit_log(100);
  REQUIRE(log->entries.size() == 2);
  CHECK(log->entries[0].action == "lease.grant");
  CHECK(log->entries[0].object == "shop");
  CHECK(log->entries[0].detail == "device=" + kAnn.hex() + " epoch=7");
}

TEST_CASE("sites: reflectors are kept, and named only where they are", "[origin]") {
  Bench bench;
  bench.site("shop");
  bench.site("depot");
  const auto secret = bench.token("t", "enrol", 2, "shop");
  REQUIRE(bench.enrol(secret, kAnn));
  REQUIRE(bench.enrol(secret, kBob));
  const auto set = [&](const std::string& site, wire::ReflectorsRequest request) {
    return bench.catalog.set_reflectors(Bench::at(3), site, request);
  };
  CHECK_FALSE(bench.catalog.site("shop")->reflectors);
  REQUIRE(set("shop", {.count = 2, .devices = std::vector{kBob, kAnn}}));
  // What is not said stays.
  REQUIRE(set("shop", {.count = 3}));
  const auto shop = Catalog(bench.table).site("shop");
  CHECK(shop->reflectors == 3);
  CHECK(shop->reflector_devices == std::vector{kBob, kAnn});
  CHECK(bench.catalog.audit_log(100)->entries.back().detail ==
        "count=3 devices=" + kBob.hex() + "," + kAnn.hex());

  const auto refused = [&](const std::string& site, wire::ReflectorsRequest request) {
    const auto done = set(site, request);
    return done ? "" : done.error().text();
  };
  CHECK(refused("shop", {.count = 5}).find("1 to 4") != std::string::npos);
  CHECK(refused("shop", {.count = 0}).find("1 to 4") != std::string::npos);
  CHECK(refused("shop", {.devices = std::vector{kAnn, kAnn}}).find("twice") != std::string::npos);
  CHECK(refused("depot", {.devices = std::vector{kAnn}}).find("not at site depot") !=
        std::string::npos);
  CHECK(set("none", {.count = 2}).error().kind() == ErrorKind::not_found);
  CHECK(set("shop", {.devices = std::vector{id_of<DeviceId>(9)}}).error().kind() ==
        ErrorKind::not_found);
  CHECK(bench.catalog.site("shop")->reflectors == 3);

  REQUIRE(set("shop", {.count = 1, .devices = std::vector<DeviceId>{}}));
  CHECK_FALSE(bench.catalog.site("shop")->reflectors);
  CHECK_FALSE(bench.catalog.site("shop")->reflector_devices);
}

TEST_CASE("bandwidth rules: kept in their one form, or not at all", "[origin]") {
  const std::string header = "subnet,site,download KB/s,upload KB/s,start,end,days\n";
  Bench bench;
  bench.site("shop");
  CHECK(bench.catalog.bandwidth_rules().value() == header);
  REQUIRE(bench.catalog.set_bandwidth_rules(Bench::at(1), ", shop ,250,,8:00,18:00,MON-FRI\r\n"));
  const std::string kept = header + ",shop,250,,08:00,18:00,mon-fri\n";
  CHECK(bench.catalog.bandwidth_rules().value() == kept);
  const auto entry = bench.catalog.audit_log(1)->entries.at(0);
  CHECK(entry.action == "rules.set");
  CHECK(entry.detail == "1 rules, sha256=" + sha256_hex(kept));

  const auto set = [&](const std::string& csv) {
    const auto done = bench.catalog.set_bandwidth_rules(Bench::at(2), csv);
    REQUIRE_FALSE(done);
    CHECK(bench.catalog.bandwidth_rules().value() == kept);
    return done.error();
  };
  CHECK(set(",shop,250,,8:00,25:00,*\n").text().find("line 1: field 'end'") != std::string::npos);
  CHECK(set(",depot,250,,8:00,18:00,*\n").kind() == ErrorKind::not_found);
  // One site's devices take 64 KiB: some of it for all sites, some of their own.
  std::string much;
  for (int i = 0; i < 1500; ++i) much += "10.0.0.0/8,,250,,08:00,18:00,*\n";
  CHECK(bench.catalog.set_bandwidth_rules(Bench::at(2), much));
  REQUIRE(bench.catalog.set_bandwidth_rules(Bench::at(2), kept));
  for (int i = 0; i < 700; ++i) much += ",shop,250,,08:00,18:00,mon-fri\n";
  const auto refused = set(much);
  CHECK(refused.kind() == ErrorKind::refused);
  CHECK(refused.text().find("'shop'") != std::string::npos);
  CHECK(bench.catalog.audit_log(100)->entries.size() == 4);
}

TEST_CASE("audit: every change leaves an entry, a refused one leaves none", "[origin]") {
  Bench bench;
  bench.site("shop");
  CHECK_FALSE(bench.catalog.add_site(Bench::at(1), {.name = "shop"}));
  REQUIRE(bench.catalog.audit({"admin:root", WallTime{2 * kSecond}}, "cvd.read", "device:1", "x"));
  const auto log = bench.catalog.audit_log(100);
  REQUIRE(log->entries.size() == 2);
  CHECK(log->entries[0].action == "site.add");
  CHECK(log->entries[1].time_ms == 2000);
  CHECK(log->intact);
  CHECK(log->head == log->entries[1].hash);
}

TEST_CASE("audit: a changed, removed or forged entry is seen", "[origin]") {
  Bench bench;
  for (const char* name : {"a", "b", "c"}) bench.site(name);
  auto& rows = bench.table.rows();
  const std::string second = "audit/0000000000000002";
  REQUIRE(rows.contains(second));
  SECTION("changed") {
    auto& text = rows[second];
    text.replace(text.find("site.add"), 8, "site.del");
  }
  SECTION("removed") { rows.erase(second); }
  SECTION("rehashed alone") {
    auto entry = wire::parse_audit_entry(rows[second]).value();
    entry.object = "other";
    entry.hash = sha256_hex(entry.object);
    rows[second] = wire::to_json(entry);
  }
  CHECK_FALSE(bench.catalog.audit_log(100)->intact);
}

TEST_CASE("audit: the list is limited, the check is not", "[origin]") {
  Bench bench;
  for (int i = 0; i < 20; ++i) bench.site("s" + std::to_string(i));
  const auto log = bench.catalog.audit_log(3);
  REQUIRE(log->entries.size() == 3);
  CHECK(log->entries[0].object == "s17");
  CHECK(log->intact);
}

TEST_CASE("catalogue: everything but open transactions survives a restart", "[origin]") {
  ScratchDirectory directory;
  std::string secret;
  {
    auto kv = Kv::open(directory.path(), 16_MiB).value();
    KvTable table(*kv);
    Catalog catalog(table);
    REQUIRE(catalog.add_site(Bench::at(0), {.name = "shop"}));
    auto token = catalog.create_token(
        Bench::at(0), {.name = "t", .kind = "enrol", .uses = 1, .ttl_ms = 100'000, .site = "shop"});
    REQUIRE(token);
    secret = token->secret;
    REQUIRE(catalog.enrol(WallTime{kSecond}, {.token = secret}, kAnn, "fingerprint"));
    REQUIRE(catalog.note_lease_epoch(Bench::at(0), "shop", kAnn, 1));
  }
  auto kv = Kv::open(directory.path(), 16_MiB).value();
  KvTable table(*kv);
  Catalog catalog(table);
  CHECK(catalog.device(kAnn)->site == "shop");
  CHECK(catalog.lease_epoch("shop").value() == 1);
  CHECK_FALSE(catalog.enrol(WallTime{kSecond}, {.token = secret}, kBob, "fingerprint"));
  CHECK(catalog.audit_log(100)->intact);
}

TEST_CASE("transactions: kept in order, once each, and bounded", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(bench.token("t", "enrol", 1), kAnn));
  const auto report = [](std::int64_t started) {
    return wire::Report{.operation = "apply",
                        .started_ms = started,
                        .ok = true,
                        .bytes_by_source = {{"lan-peer", started}}};
  };
  for (const std::int64_t started : {1, 2, 1, 2, 3})  // Two of them were sent again.
    REQUIRE(bench.catalog.add_report(Bench::at(9), kAnn, report(started)));
  auto all = bench.catalog.transactions(kAnn);
  REQUIRE(all);
  REQUIRE(all->size() == 3);
  CHECK((*all)[2].bytes_by_source.at("lan-peer") == 3);
  CHECK(bench.catalog.device(kAnn)->last_report->started_ms == 3);
  for (int i = 4; i <= 300; ++i) REQUIRE(bench.catalog.add_report(Bench::at(9), kAnn, report(i)));
  all = bench.catalog.transactions(kAnn);
  REQUIRE(all);
  CHECK(all->size() == wire::kTransactionsMax);
  CHECK(all->front().started_ms == 101);
  CHECK(all->back().started_ms == 300);
  CHECK_FALSE(bench.catalog.transactions(kBob));
}
