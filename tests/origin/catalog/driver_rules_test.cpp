// Driver layers by what machines are made of: the rules alone, and what the catalogue assigns.
#include <catch2/catch.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/driver_rules.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;
using Names = std::vector<std::string>;
using Verdict = DriverRules::Verdict;

namespace {

const DeviceId kLaptop = id_of<DeviceId>(1), kTill = id_of<DeviceId>(2);

wire::LayerInfo layer(int id, const std::string& name, const std::string& version,
                      const std::string& kind, const std::string& release = "12") {
  return {.id = id_of<LayerId>(id),
          .name = name,
          .version = version,
          .kind = kind,
          .os_family = "linux",
          .distribution = "debian",
          .release = release,
          .architecture = "x86_64"};
}

const std::vector<wire::LayerInfo> kLayers{
    layer(1, "debian", "12.1", "base"),     layer(2, "debian", "13.0", "base", "13"),
    layer(3, "office", "1", "app"),         layer(4, "nvidia", "535", "driver"),
    layer(5, "nvidia", "550", "driver"),    layer(6, "dock", "2", "driver"),
    layer(7, "dock13", "1", "driver", "13")};

const wire::Hardware kLaptopHardware{
    .dmi = {{"sys_vendor", "Dell Inc."}, {"product_name", "Latitude 5420"}},
    .pci = {"10de:1f9d/1028:0a21/030200", "8086:15fc/1028:0a21/020000"}};
const wire::Hardware kTillHardware{.dmi = {{"product_name", "T-100"}},
                                   .pci = {"8086:15fc/1028:0a21/020000"}};

wire::DeviceInfo device(const std::optional<wire::Hardware>& hardware) {
  return {.id = kLaptop, .hardware = hardware};
}

DriverRules rules(std::vector<wire::DriverRule> list) {
  auto made = DriverRules::of(std::move(list), kLayers);
  REQUIRE(made);
  return std::move(*made);
}

}  // namespace

TEST_CASE("driver rules: filters ask what a machine is made of", "[catalog]") {
  struct Case {
    const char* filter;
    bool laptop, till, unknown;
  };
  const Case cases[] = {
      {"pci = 10de:*", true, false, false},
      {"pci = */0302*", true, false, false},
      {"pci = 8086:15fc/*", true, true, false},
      {"pci != 10de:*", false, true, true},  // Of a device that told nothing, too.
      {"dmi.product_name = 'Latitude 5*'", true, false, false},
      {"dmi.sys_vendor = 'Dell Inc.' and pci = 8086:*", true, false, false},
      {"dmi.board_name = *", false, false, false},
      {"not dmi.product_name = *", false, false, true},
  };
  for (const Case& one : cases) {
    CAPTURE(one.filter);
    const auto by = rules({{.layer = "nvidia:535", .filter = one.filter}});
    const auto gets = [&](const std::optional<wire::Hardware>& hardware) {
      return by.judge(0, device(hardware), kLayers[0]) == Verdict::gets;
    };
    CHECK(gets(kLaptopHardware) == one.laptop);
    CHECK(gets(kTillHardware) == one.till);
    CHECK(gets(std::nullopt) == one.unknown);
  }
}

TEST_CASE("driver rules: they stand between base and applications, in their order", "[catalog]") {
  const auto by = rules({{.layer = "nvidia:535", .filter = "pci = 10de:*", .order = 2},
                         {.layer = "dock:2", .filter = "pci = 8086:*", .order = 1},
                         {.layer = "dock13:1", .filter = "pci = 8086:*"}});
  const auto laptop = device(kLaptopHardware), till = device(kTillHardware);
  const auto& base = kLayers[0];
  CHECK(by.stack_of(laptop, base, {"debian:12.1", "office:1"}) ==
        Names{"debian:12.1", "dock:2", "nvidia:535", "office:1"});
  CHECK(by.stack_of(till, base, {"debian:12.1", "office:1"}) ==
        Names{"debian:12.1", "dock:2", "office:1"});
  // What a rule gave once goes when it does no more; so does another version.
  CHECK(by.stack_of(till, base, {"debian:12.1", "nvidia:535", "office:1"}) ==
        Names{"debian:12.1", "dock:2", "office:1"});
  CHECK(by.stack_of(laptop, base, {"debian:12.1", "nvidia:550"}) ==
        Names{"debian:12.1", "dock:2", "nvidia:535"});
  CHECK(by.stack_of(laptop, base, {}).empty());
  // Another release has its own.
  CHECK(by.judge(0, laptop, base) == Verdict::other_system);  // dock13
  CHECK(by.stack_of(laptop, kLayers[1], {"debian:13.0"}) == Names{"debian:13.0", "dock13:1"});
  CHECK(by.has("nvidia:1"));
  CHECK(by.has("nvidia"));
  CHECK_FALSE(by.has("nvidia-tools:1"));
}

namespace {

struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  const Act act{"admin:root", WallTime{1'000'000'000}};

  Bench() {
    REQUIRE(catalog.add_site(act, {.name = "shop"}));
    for (const wire::LayerInfo& one : kLayers)
      if (one.version != "550") REQUIRE(catalog.add_layer(act, one, {}));
    for (const DeviceId& id : {kLaptop, kTill}) {
      auto token = catalog.create_token(
          act,
          {.name = "t" + id.hex(), .kind = "enrol", .uses = 1, .ttl_ms = 100'000, .site = "shop"});
      REQUIRE(token);
      REQUIRE(catalog.enrol(act.now, {.token = token->secret}, id, "f"));
    }
    tell(kLaptop, kLaptopHardware);
    tell(kTill, kTillHardware);
  }
  void tell(const DeviceId& id, const std::optional<wire::Hardware>& hardware) {
    wire::PollRequest poll;
    poll.hardware = hardware;
    REQUIRE(catalog.note_poll(id, poll, act.now));
  }
  static Result<Buffer> sign(const wire::DeviceInfo&, const std::vector<LayerId>& stack,
                             const std::vector<LayerId>&) {
    return Buffer(stack.size());
  }
  auto assign(const wire::AssignmentRequest& request) { return catalog.assign(act, request, sign); }
  Names target(const DeviceId& id) { return catalog.device(id)->target; }
};

wire::AssignmentRequest to_shop(Names layers) {
  return {.site = "shop", .layers = std::move(layers)};
}
wire::AssignmentRequest anew() { return {.site = "shop", .add = Names{}}; }

ErrorKind kind_of(const auto& result) {
  REQUIRE_FALSE(result);
  return result.error().kind();
}

}  // namespace

TEST_CASE("driver layers: an assignment gives each device its own", "[catalog]") {
  Bench bench;
  REQUIRE(
      bench.catalog.set_driver_rule(bench.act, {.layer = "nvidia:535", .filter = "pci = 10de:*"}));
  REQUIRE(bench.assign(to_shop({"debian:12.1", "office:1"})));
  CHECK(bench.target(kLaptop) == Names{"debian:12.1", "nvidia:535", "office:1"});
  CHECK(bench.target(kTill) == Names{"debian:12.1", "office:1"});
  // Which it may read then, and the other one may not.
  CHECK(*bench.catalog.may_read_layer(kLaptop, id_of<LayerId>(4)));
  CHECK_FALSE(*bench.catalog.may_read_layer(kTill, id_of<LayerId>(4)));
  // Nothing changes for who asks again; what hardware says, stays said.
  bench.tell(kLaptop, std::nullopt);
  auto reply = bench.assign(anew());
  REQUIRE(reply);
  CHECK(reply->devices.empty());
  // Another card: due at the next assignment, whatever it is.
  bench.tell(kTill, kLaptopHardware);
  CHECK(bench.target(kTill) == Names{"debian:12.1", "office:1"});
  reply = bench.assign(anew());
  REQUIRE(reply);
  CHECK(reply->devices == std::vector{kTill});
  CHECK(bench.target(kTill) == Names{"debian:12.1", "nvidia:535", "office:1"});
  // The release moves on: the layer does not fit any more, and is no reason to refuse.
  REQUIRE(bench.assign({.site = "shop", .remove = Names{"office"}}));
  REQUIRE(bench.assign(to_shop({"debian:13.0"})));
  CHECK(bench.target(kLaptop) == Names{"debian:13.0"});
  // Staged are the same ones.
  REQUIRE(bench.assign({.site = "shop", .layers = {"debian:12.1"}, .stage = true}));
  CHECK(bench.catalog.device(kLaptop)->staged == Names{"debian:12.1", "nvidia:535"});
}

TEST_CASE("driver layers: a rule moves with upgrades, and goes", "[catalog]") {
  Bench bench;
  REQUIRE(bench.catalog.set_driver_rule(
      bench.act, {.layer = "nvidia:535", .filter = "pci = 10de:*", .order = 7}));
  REQUIRE(bench.assign(to_shop({"debian:12.1", "office:1"})));
  REQUIRE(bench.catalog.add_layer(bench.act, kLayers[4], {}));
  REQUIRE(bench.catalog.upgrade(bench.act, {.name = "nvidia"}, Bench::sign));
  CHECK(bench.target(kLaptop) == Names{"debian:12.1", "nvidia:550", "office:1"});
  const auto list = bench.catalog.driver_rules();
  REQUIRE(list);
  REQUIRE(list->rules.size() == 1);
  CHECK(list->rules[0].layer == "nvidia:550");
  CHECK(list->rules[0].order == 7);
  CHECK(kind_of(bench.catalog.remove_layer(bench.act, id_of<LayerId>(5))) == ErrorKind::refused);
  REQUIRE(bench.catalog.remove_driver_rule(bench.act, "nvidia"));
  // Without a rule it is a layer as others are.
  REQUIRE(bench.assign({.site = "shop", .add = Names{"dock:2"}}));
  CHECK(bench.target(kLaptop) == Names{"debian:12.1", "nvidia:550", "office:1", "dock:2"});
  CHECK(kind_of(bench.catalog.remove_driver_rule(bench.act, "nvidia")) == ErrorKind::not_found);
}

TEST_CASE("driver layers: what makes no sense is refused", "[catalog]") {
  Bench bench;
  const auto set = [&](const wire::DriverRule& rule) {
    return bench.catalog.set_driver_rule(bench.act, rule);
  };
  CHECK(kind_of(set({.layer = "office:1", .filter = "pci = 1*"})) == ErrorKind::refused);
  CHECK(kind_of(set({.layer = "nvidia:9", .filter = "pci = 1*"})) == ErrorKind::not_found);
  CHECK(kind_of(set({.layer = "nvidia:535", .filter = "gpu = 1"})) == ErrorKind::invalid);
  CHECK(kind_of(set({.layer = "nvidia:535", .filter = "pci = 1*", .order = 1'000'001})) ==
        ErrorKind::invalid);
  REQUIRE(set({.layer = "nvidia:535", .filter = "pci = 10de:*"}));
  CHECK(kind_of(bench.assign(to_shop({"debian:12.1", "nvidia:535"}))) == ErrorKind::refused);
  REQUIRE(bench.assign(to_shop({"debian:12.1"})));
  CHECK(kind_of(bench.assign({.site = "shop", .add = Names{"nvidia:535"}})) == ErrorKind::refused);
  CHECK(kind_of(bench.assign({.site = "shop", .remove = Names{"nvidia"}})) == ErrorKind::refused);
  CHECK(kind_of(bench.catalog.remove_layer(bench.act, id_of<LayerId>(4))) == ErrorKind::refused);
}
