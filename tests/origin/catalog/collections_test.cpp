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

// Ann is in the shop and Bob in the depot, both with tills' names; Eve is pending.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};

  Bench() {
    for (const char* site : {"shop", "depot"}) REQUIRE(catalog.add_site(kAct, {.name = site}));
    enrol(kAnn, "shop", "till-1");
    enrol(kBob, "depot", "till-2");
    enrol(kEve, "", "till-3");
    publish("os", "1.0", "base", 1);
    publish("office", "1", "app", 2);
    publish("office", "2", "app", 3);
    publish("mail", "1", "app", 4);
  }
  void enrol(const DeviceId& id, const std::string& site, const std::string& host) {
    const auto token = catalog.create_token(
        kAct, {.name = host, .kind = "enrol", .uses = 1, .ttl_ms = 1'000'000, .site = site});
    REQUIRE(token);
    REQUIRE(catalog.enrol(
        kAct.now,
        {.token = token->secret, .host_name = host, .attributes = {{"architecture", "x86_64"}}}, id,
        "fingerprint"));
  }
  void publish(const std::string& name, const std::string& version, const std::string& kind,
               int id) {
    REQUIRE(catalog.add_layer(
        kAct, {.id = id_of<LayerId>(id), .name = name, .version = version, .kind = kind}, {}));
  }
  Result<wire::AssignmentReply> assign(const wire::AssignmentRequest& request) {
    return catalog.assign(kAct, request,
                          [](const wire::DeviceInfo&, const std::vector<LayerId>&,
                             const std::vector<LayerId>&) { return Result<Buffer>(Buffer()); });
  }
  std::vector<std::string> target(const DeviceId& id) const {
    return catalog.device(id).value().target;
  }
};

using Ids = std::vector<DeviceId>;
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("collections: a list is what was listed", "[origin]") {
  Bench bench;
  REQUIRE(bench.catalog.add_collection(kAct, {.name = "tills", .devices = Ids{kBob, kAnn}}));
  CHECK(bench.catalog.collection("tills")->members == Ids{kAnn, kBob});
  REQUIRE(bench.catalog.change_collection(kAct, "tills", {.add = Ids{kEve}, .remove = Ids{kAnn}}));
  CHECK(bench.catalog.collection("tills")->members == Ids{kBob, kEve});
  CHECK(bench.catalog.audit_log(1)->entries[0].detail == "devices=2");
  REQUIRE(bench.catalog.remove_collection(kAct, "tills"));
  CHECK(bench.catalog.device_collections()->empty());
  CHECK(bench.catalog.collection("tills").error().kind() == ErrorKind::not_found);
}

TEST_CASE("collections: a filter is evaluated whenever it is used", "[origin]") {
  Bench bench;
  REQUIRE(bench.catalog.add_collection(
      kAct, {.name = "shops", .filter = "site = shop and attribute.architecture = x86_*"}));
  CHECK(bench.catalog.collection("shops")->members == Ids{kAnn});
  REQUIRE(bench.assign({.layers = {"os:1.0"}, .collection = "shops"}));
  CHECK(bench.target(kAnn) == Names{"os:1.0"});
  CHECK(bench.target(kBob).empty());
  REQUIRE(bench.catalog.place_device(kAct, kBob, "shop"));
  CHECK(bench.assign({.layers = {"os:1.0"}, .collection = "shops"})->devices == Ids{kAnn, kBob});
  REQUIRE(bench.catalog.change_collection(kAct, "shops", {.filter = "target = os:*"}));
  CHECK(bench.catalog.collection("shops")->members == Ids{kAnn, kBob});
}

TEST_CASE("collections: only members that are in a site are given layers", "[origin]") {
  Bench bench;
  REQUIRE(bench.catalog.add_collection(kAct, {.name = "all", .filter = "host = till-*"}));
  CHECK(bench.catalog.collection("all")->members == Ids{kAnn, kBob, kEve});
  CHECK(bench.assign({.layers = {"os:1.0"}, .collection = "all"})->devices == Ids{kAnn, kBob});
  REQUIRE(bench.catalog.add_collection(kAct, {.name = "new", .filter = "status = pending"}));
  const auto refused = bench.assign({.layers = {"os:1.0"}, .collection = "new"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind() == ErrorKind::refused);
}

TEST_CASE("collections: what makes none of it is named", "[origin]") {
  Bench bench;
  const auto text = [&](const wire::CollectionRequest& request) {
    const auto added = bench.catalog.add_collection(kAct, request);
    return added ? std::string("added") : added.error().text();
  };
  CHECK_THAT(text({.name = "x"}), Catch::Contains("either devices or a filter"));
  CHECK_THAT(text({.name = "x", .filter = "colour = red"}),
             Catch::Contains("where 'colour' stands") && Catch::Contains("attribute.NAME"));
  CHECK_THAT(text({.name = "x", .devices = Ids{kAnn, kAnn}}), Catch::Contains("named twice"));
  CHECK_THAT(text({.name = "x", .devices = Ids{id_of<DeviceId>(9)}}),
             Catch::Contains("is not enrolled"));
  CHECK_THAT(text({.name = "a b", .filter = "site = shop"}), Catch::Contains("name"));
  REQUIRE(text({.name = "x", .filter = "site = shop"}) == "added");
  CHECK_THAT(text({.name = "x", .filter = "site = shop"}), Catch::Contains("already"));
  CHECK(bench.catalog.change_collection(kAct, "x", {.add = Ids{kAnn}}).error().kind() ==
        ErrorKind::refused);
  REQUIRE(bench.catalog.change_collection(kAct, "x", {.devices = Ids{kAnn}}));
  CHECK(bench.catalog.change_collection(kAct, "x", {.remove = Ids{kBob}}).error().kind() ==
        ErrorKind::not_found);
  CHECK_FALSE(bench.assign({.layers = {"os:1.0"}, .collection = "y"}));
  CHECK_FALSE(bench.assign({.site = "shop", .layers = {"os:1.0"}, .collection = "x"}));
}

TEST_CASE("assignments: layers are added to and taken from what each device has", "[origin]") {
  Bench bench;
  REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0", "office:1", "mail:1"}}));
  REQUIRE(bench.assign({.devices = {kBob}, .layers = {"os:1.0"}}));
  REQUIRE(bench.assign({.devices = {kAnn, kBob}, .add = Names{"office:2"}}));
  CHECK(bench.target(kAnn) == Names{"os:1.0", "office:2", "mail:1"});
  CHECK(bench.target(kBob) == Names{"os:1.0", "office:2"});

  // One device does not have it: no device changes.
  const auto refused = bench.assign({.devices = {kAnn, kBob}, .remove = Names{"mail"}});
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().text(),
             Catch::Contains(kBob.hex()) && Catch::Contains("layer mail is not assigned"));
  CHECK(bench.target(kAnn).size() == 3);
  REQUIRE(bench.assign({.devices = {kAnn}, .add = Names{"office:1"}, .remove = Names{"mail"}}));
  CHECK(bench.target(kAnn) == Names{"os:1.0", "office:1"});

  // What is left must fit together, and a whole stack is no change.
  CHECK(bench.assign({.devices = {kAnn}, .remove = Names{"os"}}).error().kind() ==
        ErrorKind::refused);
  CHECK(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}, .add = Names{"mail:1"}})
            .error()
            .kind() == ErrorKind::invalid);
  CHECK(bench.assign({.devices = {kAnn}, .add = Names{"none:1"}}).error().kind() ==
        ErrorKind::not_found);
}

TEST_CASE("rehearsals: everything is checked and answered, and nothing changes", "[origin]") {
  Bench bench;
  const auto before = bench.table.rows();
  {
    const Catalog::Rehearsal rehearsal(bench.catalog);
    CHECK(bench.assign({.site = "shop", .layers = {"os:1.0"}})->devices == Ids{kAnn});
    CHECK(bench.assign({.site = "shop", .layers = {"os:9"}}).error().kind() ==
          ErrorKind::not_found);
    CHECK(bench.catalog.add_site(kAct, {.name = "new"}));
    CHECK(bench.catalog.add_site(kAct, {.name = "shop"}).error().kind() == ErrorKind::refused);
  }
  CHECK(bench.table.rows() == before);
  bench.catalog.take_changed_devices();
  CHECK(bench.catalog.add_site(kAct, {.name = "new"}));
  CHECK(bench.table.rows() != before);
}

TEST_CASE("rehearsals: devices that were to be told before still are", "[origin]") {
  Bench bench;
  bench.catalog.take_changed_devices();
  REQUIRE(bench.assign({.devices = {kBob}, .layers = {"os:1.0"}}));
  {
    const Catalog::Rehearsal rehearsal(bench.catalog);
    REQUIRE(bench.assign({.devices = {kAnn}, .layers = {"os:1.0"}}));
  }
  CHECK(bench.catalog.take_changed_devices() == std::set<DeviceId>{kBob});
}
