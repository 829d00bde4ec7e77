// The ends and the returns of devices, as the catalogue knows them.
#include <catch2/catch.hpp>

#include "origin/catalog/catalog.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;
using wire::DeviceStatus;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
const DeviceId kAnn = id_of<DeviceId>(1), kBob = id_of<DeviceId>(2), kCem = id_of<DeviceId>(3);
constexpr const char* kUuid = "4C4C4544-0043-3510-8052-B4C04F4A4E32";

// Speaks to the catalogue in seconds since the test began.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};

  Bench() { REQUIRE(catalog.add_site(at(0), {.name = "shop"})); }
  static Act at(std::int64_t seconds) { return {"admin:root", WallTime{seconds * kSecond}}; }
  Result<wire::DeviceInfo> enrol(DeviceId id, std::int64_t seconds, const std::string& uuid = "",
                                 std::optional<DeviceId> cvd = {}) {
    auto token =
        catalog.create_token(at(seconds), {.name = "t" + std::to_string(table.rows().size()),
                                           .kind = "enrol",
                                           .uses = 1,
                                           .ttl_ms = 100'000,
                                           .site = "shop",
                                           .cvd = cvd});
    if (!token) return fail(std::move(token.error()));
    return catalog.enrol(at(seconds).now, {.token = token->secret, .hardware_uuid = uuid}, id, "f");
  }
  void snapshot(DeviceId device, int id, std::int64_t seconds, std::int64_t bytes = 0) {
    REQUIRE(catalog.add_snapshot(
        at(seconds), device,
        {.id = id_of<SnapshotId>(id), .created_ms = seconds * 1000, .plain_bytes = bytes}));
  }
  // The numbers that ids of snapshots were made of, in the order of the time line.
  std::vector<SnapshotId> line(DeviceId device) {
    std::vector<SnapshotId> ids;
    const auto all = catalog.snapshots(device);
    REQUIRE(all);
    for (const auto& one : *all) {
      ids.push_back(one.id);
      CHECK(one.number == ids.size());
    }
    return ids;
  }
  void archive(DeviceId device) { REQUIRE(catalog.archive_cvd(at(50), device, true)); }
};

std::vector<SnapshotId> ids(std::initializer_list<int> numbers) {
  std::vector<SnapshotId> all;
  for (const int number : numbers) all.push_back(id_of<SnapshotId>(number));
  return all;
}

ErrorKind kind_of(const auto& result) {
  REQUIRE_FALSE(result);
  return result.error().kind();
}

}  // namespace

TEST_CASE("device life: a decommissioned device leaves everything, its archive stays", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1));
  REQUIRE(bench.enrol(kBob, 1));
  REQUIRE(bench.catalog.add_collection(Bench::at(2),
                                       {.name = "tills", .devices = std::vector{kAnn, kBob}}));
  REQUIRE(bench.catalog.set_reflectors(Bench::at(2), "shop", {.devices = std::vector{kAnn}}));
  bench.snapshot(kAnn, 1, 3);
  const auto before = bench.table.rows();
  {
    const Catalog::Rehearsal rehearsal(bench.catalog);
    REQUIRE(bench.catalog.decommission(Bench::at(4), kAnn, {"archive"}));
  }
  CHECK(bench.table.rows() == before);
  const auto reply = bench.catalog.decommission(Bench::at(4), kAnn, {"archive"});
  REQUIRE(reply);
  CHECK(reply->snapshots == 1);
  CHECK(reply->collections == std::vector<std::string>{"tills"});
  CHECK(reply->sites == std::vector<std::string>{"shop"});
  CHECK(bench.catalog.device(kAnn)->decommissioned_ms);
  CHECK(bench.catalog.collection("tills")->members == std::vector{kBob});
  CHECK_FALSE(bench.catalog.site("shop")->reflector_devices);
  // Its snapshots stay, and none is added.
  REQUIRE(bench.catalog.set_retention(Bench::at(5), {}, wire::RetentionRule{.newest = 1}));
  CHECK(kind_of(bench.catalog.forget_snapshots(Bench::at(5), kAnn, {})) == ErrorKind::refused);
  CHECK(bench.line(kAnn) == ids({1}));
  CHECK(kind_of(bench.catalog.link_chunks(kAnn, {id_of<ChunkId>(1)})) == ErrorKind::refused);
  CHECK(kind_of(bench.catalog.add_snapshot(Bench::at(6), kAnn, {.id = id_of<SnapshotId>(9)})) ==
        ErrorKind::refused);
  CHECK(kind_of(bench.catalog.place_device(Bench::at(6), kAnn, "shop")) == ErrorKind::refused);
  CHECK(kind_of(bench.catalog.reject_device(Bench::at(6), kAnn)) == ErrorKind::refused);
  CHECK(kind_of(bench.catalog.archive_cvd(Bench::at(6), kAnn, false)) == ErrorKind::refused);
  CHECK(kind_of(bench.catalog.decommission(Bench::at(6), kAnn, {"archive"})) == ErrorKind::refused);
  CHECK(kind_of(bench.catalog.decommission(Bench::at(6), kAnn, {"burn"})) == ErrorKind::invalid);
  CHECK(kind_of(bench.catalog.decommission(Bench::at(6), kCem, {"erase"})) == ErrorKind::not_found);
}

TEST_CASE("device life: of an erased device no row is left but the erasure's", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1, kUuid));
  REQUIRE(bench.enrol(kBob, 1));
  bench.snapshot(kAnn, 1, 3);
  REQUIRE(bench.catalog.link_chunks(kAnn, {id_of<ChunkId>(1), id_of<ChunkId>(2)}));
  REQUIRE(bench.catalog.link_chunks(kBob, {id_of<ChunkId>(2)}));
  REQUIRE(bench.catalog.set_retention(Bench::at(3), kAnn, wire::RetentionRule{.newest = 1}));
  REQUIRE(bench.catalog.set_quota(Bench::at(3), {.device = kAnn, .rule = {{.hard_bytes = 5}}}));
  REQUIRE(bench.catalog.add_report(Bench::at(3), kAnn, {.operation = "apply"}));
  REQUIRE(bench.catalog.decommission(Bench::at(4), kAnn, {"erase"}));
  for (const auto& [key, value] : bench.table.rows()) {
    if (key.starts_with("audit/") || key.starts_with("erased-") || key.starts_with("erasure/"))
      continue;
    INFO(key);
    CHECK(key.find(kAnn.hex()) == std::string::npos);
    CHECK(value.find(kAnn.hex()) == std::string::npos);
  }
  const auto counts = bench.catalog.rows_of(kAnn);
  for (const auto& [kind, count] : *counts) CHECK(count == 0);
  // Whoever has the same content has it still.
  CHECK(bench.catalog.lacks(kBob, {id_of<ChunkId>(2)})->empty());
  CHECK(bench.catalog.erased_content(kAnn)->chunks.size() == 2);
  // Only what was looked at is ended.
  CHECK(kind_of(bench.catalog.finish_erasure(Bench::at(5).now, kAnn, {id_of<ChunkId>(1)}, {})) ==
        ErrorKind::unavailable);
  REQUIRE(bench.catalog.finish_erasure(Bench::at(5).now, kAnn, {id_of<ChunkId>(1)},
                                       {id_of<ChunkId>(2)}));
  const auto info = bench.catalog.erasure(kAnn);
  CHECK(info->state == wire::kErased);
  CHECK(info->chunks_shared == 1);
  CHECK(info->by == "admin:root");
  CHECK(bench.catalog.audit_log(100)->intact);
}

TEST_CASE("device life: a CVD that rests, goes on, or is deleted", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1));
  bench.snapshot(kAnn, 1, 3);
  bench.catalog.take_changed_devices();
  CHECK(kind_of(bench.catalog.delete_cvd(Bench::at(4), kAnn)) == ErrorKind::refused);
  bench.archive(kAnn);
  CHECK(bench.catalog.take_changed_devices().contains(kAnn));
  CHECK(bench.catalog.device(kAnn)->uploads_wait);
  CHECK(bench.catalog.cvds()->at(0).state == "archived");
  REQUIRE(bench.catalog.archive_cvd(Bench::at(5), kAnn, false));
  CHECK_FALSE(bench.catalog.device(kAnn)->uploads_wait);
  bench.snapshot(kAnn, 2, 6);
  bench.archive(kAnn);
  CHECK(bench.catalog.delete_cvd(Bench::at(7), kAnn)->snapshots == 2);
  CHECK(bench.catalog.snapshots(kAnn)->empty());
  CHECK(bench.catalog.device(kAnn)->status == DeviceStatus::assigned);
  CHECK(kind_of(bench.catalog.delete_cvd(Bench::at(8), kAnn)) == ErrorKind::refused);
}

TEST_CASE("device life: two enrolments of one machine become one time line", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1, kUuid));
  REQUIRE(bench.enrol(kBob, 1, "another"));
  REQUIRE(bench.enrol(kCem, 1, "4c4c4544 0043 3510 8052 b4c04f4a4e32"));
  REQUIRE(
      bench.catalog.add_collection(Bench::at(2), {.name = "tills", .devices = std::vector{kAnn}}));
  for (const int n : {10, 30, 50}) bench.snapshot(kAnn, n, n);
  for (const int n : {20, 30, 40}) bench.snapshot(kCem, n + 1, n);
  REQUIRE(bench.catalog.link_chunks(kAnn, {id_of<ChunkId>(1), id_of<ChunkId>(2)}));
  REQUIRE(bench.catalog.link_chunks(kCem, {id_of<ChunkId>(2)}));
  CHECK(kind_of(bench.catalog.merge_device(Bench::at(60), kAnn, {.into = kBob})) ==
        ErrorKind::refused);
  CHECK(kind_of(bench.catalog.merge_device(Bench::at(60), kAnn, {.into = kAnn})) ==
        ErrorKind::invalid);
  const auto reply = bench.catalog.merge_device(Bench::at(60), kAnn, {.into = kCem});
  REQUIRE(reply);
  CHECK((reply->snapshots == 3 && reply->total == 6 && reply->chunks == 2 && reply->is_out));
  CHECK(bench.line(kCem) == ids({10, 21, 31, 30, 41, 50}));
  CHECK(bench.line(kAnn).empty());
  CHECK(bench.catalog.newest_snapshot(kCem).value()->id == id_of<SnapshotId>(50));
  CHECK(bench.catalog.lacks(kCem, {id_of<ChunkId>(1), id_of<ChunkId>(2)})->empty());
  CHECK(bench.catalog.collection("tills")->members == std::vector{kCem});
  CHECK(bench.catalog.device(kAnn)->decommissioned_ms);
  CHECK(bench.catalog.device(kAnn)->successor == kCem);
  // Who knows a snapshot by the device that its record names finds it.
  CHECK(bench.catalog.has_snapshot(kAnn, id_of<SnapshotId>(30)).value());
  CHECK_FALSE(bench.catalog.has_snapshot(kAnn, id_of<SnapshotId>(99)).value());
  // The next one counts on.
  bench.snapshot(kCem, 70, 70);
  CHECK(bench.line(kCem).size() == 7);
  CHECK(bench.catalog.merge_device(Bench::at(61), kBob, {.into = kCem, .force = true}));
}

TEST_CASE("device life: an archived CVD goes to its replacement, with what it rests on",
          "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1));
  REQUIRE(bench.enrol(kBob, 1));
  const auto chunk = id_of<ChunkId>(5);
  REQUIRE(bench.catalog.add_layer(
      Bench::at(2), {.id = id_of<LayerId>(1), .name = "os", .version = "1", .kind = "base"},
      {chunk}));
  REQUIRE(bench.catalog.assign(
      Bench::at(2), {.devices = {kAnn}, .layers = {"os:1"}},
      [](const wire::DeviceInfo&, const std::vector<LayerId>&,
         const std::vector<LayerId>&) -> Result<Buffer> { return to_buffer("target"); }));
  bench.snapshot(kAnn, 1, 3);
  CHECK(kind_of(bench.catalog.reassign_cvd(Bench::at(4), kAnn, {.into = kBob})) ==
        ErrorKind::refused);
  REQUIRE(bench.catalog.decommission(Bench::at(5), kAnn, {"archive"}));
  CHECK(bench.catalog.unreadable(kBob, {chunk})->size() == 1);
  const auto moves = bench.catalog.cvd_moves(kBob).value();
  REQUIRE(bench.catalog.reassign_cvd(Bench::at(6), kAnn, {.into = kBob}));
  CHECK(bench.line(kBob) == ids({1}));
  CHECK(bench.catalog.unreadable(kBob, {chunk})->empty());
  // A collection that saw the CVD before gives up nothing that came with it.
  const auto release = [&](std::uint64_t seen) {
    return bench.catalog
        .release_layers(
            kBob, {id_of<LayerId>(1)}, [](const ChunkId&) { return false; }, false, seen)
        .value();
  };
  CHECK(release(moves) == 0);
  CHECK(bench.catalog.unreadable(kBob, {chunk})->empty());
  CHECK(release(moves + 1) == 1);
}

TEST_CASE("device life: a token brings the CVD along, once", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1));
  bench.snapshot(kAnn, 1, 3);
  CHECK(kind_of(bench.enrol(kBob, 4, "", kAnn)) == ErrorKind::refused);  // It is in use.
  bench.archive(kAnn);
  REQUIRE(bench.enrol(kBob, 5, "", kAnn));
  CHECK(bench.line(kBob) == ids({1}));
  CHECK(kind_of(bench.catalog.create_token(
            Bench::at(6),
            {.name = "two", .kind = "enrol", .uses = 2, .ttl_ms = 1000, .cvd = kAnn})) ==
        ErrorKind::invalid);
}

TEST_CASE("device life: a returning machine is proposed its CVD, and nothing follows by itself",
          "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1, kUuid));
  bench.snapshot(kAnn, 1, 3);
  const std::string nobodys(32, '0');
  REQUIRE(bench.enrol(kBob, 4, nobodys));
  REQUIRE(bench.enrol(id_of<DeviceId>(4), 4, nobodys));
  bench.snapshot(id_of<DeviceId>(4), 9, 4);
  CHECK(bench.catalog.proposals()->empty());
  REQUIRE(bench.enrol(kCem, 5, "4c4c4544-0043-3510-8052-b4c04f4a4e32"));
  auto found = bench.catalog.proposals();
  REQUIRE(found->size() == 1);
  CHECK((found->at(0).device == kCem && found->at(0).cvd == kAnn && found->at(0).snapshots == 1));
  CHECK_THAT(found->at(0).confirm, Catch::StartsWith("lamina device merge " + kAnn.hex()));
  CHECK(bench.catalog.snapshots(kCem)->empty());
  REQUIRE(bench.catalog.decommission(Bench::at(6), kAnn, {"archive"}));
  found = bench.catalog.proposals();
  CHECK_THAT(found->at(0).confirm, Catch::StartsWith("lamina cvd reassign " + kAnn.hex()));
  REQUIRE(bench.catalog.reassign_cvd(Bench::at(7), kAnn, {.into = kCem}));
  CHECK(bench.catalog.proposals()->empty());
}

TEST_CASE("device life: a reference device is left alone by what is meant for many", "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1));
  REQUIRE(bench.enrol(kBob, 1));
  REQUIRE(bench.catalog.add_layer(
      Bench::at(2), {.id = id_of<LayerId>(1), .name = "os", .version = "1", .kind = "base"}, {}));
  const auto assign = [&](wire::AssignmentRequest request) {
    request.layers = {"os:1"};
    return bench.catalog
        .assign(Bench::at(3), request,
                [](const wire::DeviceInfo&, const std::vector<LayerId>&,
                   const std::vector<LayerId>&) -> Result<Buffer> { return to_buffer("target"); })
        .value()
        .devices;
  };
  REQUIRE(bench.catalog.set_reference(Bench::at(2), kAnn, true));
  CHECK(assign({.site = "shop"}) == std::vector{kBob});
  CHECK(assign({.devices = {kAnn}}) == std::vector{kAnn});
  REQUIRE(bench.catalog.set_reference(Bench::at(2), kAnn, false));
  CHECK(assign({.site = "shop"}).size() == 2);
}

TEST_CASE("quotas: where a hard level is reached devices wait, and go on when it is not",
          "[origin]") {
  Bench bench;
  REQUIRE(bench.enrol(kAnn, 1));
  REQUIRE(bench.enrol(kBob, 1));
  REQUIRE(bench.catalog.add_collection(Bench::at(2), {.name = "tills", .filter = "site = shop"}));
  bench.snapshot(kAnn, 1, 3, 600);
  bench.snapshot(kBob, 2, 3, 300);
  const auto waits = [&](DeviceId id) { return bench.catalog.device(id)->uploads_wait; };
  const auto level = [&] { return bench.catalog.quotas()->at(0).level; };
  const auto set = [&](std::optional<wire::QuotaRule> rule) {
    return bench.catalog.set_quota(Bench::at(4), {.collection = "tills", .rule = rule});
  };
  CHECK(kind_of(set(wire::QuotaRule{})) == ErrorKind::invalid);
  CHECK(kind_of(set(wire::QuotaRule{.warn_bytes = 9, .hard_bytes = 8})) == ErrorKind::invalid);
  REQUIRE(set(wire::QuotaRule{.warn_bytes = 800, .hard_bytes = 1000}));
  CHECK(level() == "warning");
  CHECK_FALSE(waits(kAnn));
  bench.snapshot(kBob, 3, 5, 400);  // Of its newest alone.
  bench.catalog.take_changed_devices();
  REQUIRE(bench.catalog.apply_quotas(Bench::at(6)));
  CHECK(level() == "hard");
  CHECK(bench.catalog.quotas()->at(0).bytes == 1000);
  CHECK(bench.catalog.take_changed_devices() == std::set{kAnn, kBob});
  REQUIRE(waits(kAnn));
  CHECK_THAT(*waits(kAnn), Catch::Contains("collection tills"));
  const auto before = bench.table.rows();
  REQUIRE(bench.catalog.apply_quotas(Bench::at(7)));
  CHECK(bench.table.rows() == before);
  REQUIRE(set(wire::QuotaRule{.hard_snapshots = 4}));
  CHECK_FALSE(waits(kAnn));
  // Of members that nobody could count there is no quota.
  const auto removed = bench.catalog.remove_collection(Bench::at(5), "tills");
  CHECK(kind_of(removed) == ErrorKind::refused);
  CHECK_THAT(removed.error().text(), Catch::Contains("quota set --collection tills --none"));
  bench.snapshot(kAnn, 4, 8, 1);
  REQUIRE(bench.catalog.apply_quotas(Bench::at(9)));
  CHECK_THAT(waits(kBob).value_or(""), Catch::Contains("4 of 4 snapshots"));
  // What the device is archived for is not the quota's to end.
  bench.archive(kAnn);
  REQUIRE(set({}));
  CHECK_FALSE(waits(kBob));
  CHECK(bench.catalog.remove_collection(Bench::at(5), "tills"));
  CHECK(bench.catalog.quotas()->empty());
  CHECK_THAT(waits(kAnn).value_or(""), Catch::Contains("archived"));
}
