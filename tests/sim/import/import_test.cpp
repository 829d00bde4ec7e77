// A scenario from an origin's answers, and a rollout's outcome from them.
#include <catch2/catch.hpp>

#include "shared/base/bytes.hpp"
#include "sim/import/inventory.hpp"
#include "sim/import/measured.hpp"
#include "sim/import/options.hpp"
#include "sim/model/run.hpp"
#include "sim/scenario/load.hpp"
#include "tests/support/ids.hpp"

using namespace lamina;
using namespace lamina::sim;
using lamina::tests::id_of;
using namespace std::chrono_literals;

namespace {

DeviceId device(int n) { return id_of<DeviceId>(n); }

const std::string kDevices = "/v1/devices?after=";
constexpr std::int64_t kNowMs = std::int64_t{1'772'478'000} * 1000;  // 2026-03-02T19:00:00Z

// An origin that answers from what it is made of; devices are numbers.
struct FakeOrigin {
  PrivateKey key = PrivateKey::generate().value();
  wire::SiteList sites;
  wire::DeviceList devices;
  wire::SavingsList savings;
  wire::RuleSet rules;
  wire::LayerList layers;
  wire::RolloutList rollouts;
  std::map<std::string, std::string> bodies;  // Of layers.

  // Packs are numbers too, of a MB each. An update from another layer is one pack, and stands for
  // some of them.
  struct Update {
    int from;
    int pack;
    std::vector<int> instead_of;
  };
  void layer(int n, const std::string& name, const std::string& version, std::vector<int> packs,
             const std::optional<Update>& update = std::nullopt) {
    format::DistributionRecord record{.layer = id_of<LayerId>(n), .sequence = 1};
    for (const int pack : packs) record.packs.push_back({id_of<PackId>(pack), 1'000'000, false});
    if (update) {
      const auto from = id_of<LayerId>(update->from);
      for (std::size_t i = 0; i < packs.size(); ++i)
        if (std::ranges::find(update->instead_of, packs[i]) != update->instead_of.end())
          record.packs[i].unless_updated = {from};
      record.packs.push_back(
          {.id = id_of<PackId>(update->pack), .size = 1'000'000, .update_from = {from}});
    }
    layers.layers.push_back({.id = record.layer, .name = name, .version = version});
    bodies["/v1/layers/" + record.layer.hex() + "/distribution"] =
        as_text(format::sign_record(format::RecordType::distribution, format::encode(record), key));
  }
  void site(const std::string& name, std::vector<int> numbers, std::vector<std::string> applied,
            std::int64_t seen_ms = kNowMs) {
    sites.sites.push_back({.name = name});
    for (const int n : numbers)
      devices.devices.push_back({.id = device(n),
                                 .status = wire::DeviceStatus::assigned,
                                 .site = name,
                                 .lan_address = "10.1.0." + std::to_string(n),
                                 .seen_ms = seen_ms,
                                 .applied = applied});
  }
  // Three at a time.
  std::string page_after(const std::string& id) {
    wire::DeviceList page{.devices = {}, .more = false};
    std::ranges::sort(devices.devices, {}, &wire::DeviceInfo::id);
    for (const wire::DeviceInfo& one : devices.devices) {
      if (one.id.hex() <= id) continue;
      if (page.devices.size() == 3) {
        page.more = true;
        break;
      }
      page.devices.push_back(one);
    }
    return wire::to_json(page);
  }
  Get get() {
    return [this](const std::string& path) -> Result<std::string> {
      if (path == "/v1/sites") return wire::to_json(sites);
      if (path.starts_with(kDevices)) return page_after(path.substr(kDevices.size()));
      if (path == "/v1/savings") return wire::to_json(savings);
      if (path == "/v1/rules") return wire::to_json(rules);
      if (path == "/v1/layers") return wire::to_json(layers);
      if (path == "/v1/rollouts") return wire::to_json(rollouts);
      if (const auto body = bodies.find(path); body != bodies.end()) return body->second;
      return fail(ErrorKind::not_found, "no " + path);
    };
  }
  Result<ScenarioFiles> files(const wire::RolloutRequest& plan, ImportTexts texts = {}) {
    const auto options = parse_import_options(texts, WallTime{kNowMs * 1'000'000}, 1h);
    REQUIRE(options);
    auto inventory = collect(get(), plan.layers);
    REQUIRE(inventory);
    return scenario_files(*inventory, plan, *options);
  }
  Scenario scenario(const wire::RolloutRequest& plan, ImportTexts texts = {}) {
    const auto made = files(plan, texts);
    REQUIRE(made);
    auto scenario = load_scenario(
        "scenario.toml", made->scenario, [&](const std::string& name) -> Result<std::string> {
          return name == "sites.csv" ? made->sites
                                     : (name == "devices.csv" ? made->devices : made->bandwidth);
        });
    INFO(made->scenario << (scenario ? "" : scenario.error().text()));
    REQUIRE(scenario);
    return std::move(*scenario);
  }
};

wire::RolloutRequest plan(std::vector<wire::RolloutWave> waves) {
  return {.name = "r", .layers = {"os:2", "app:1"}, .waves = std::move(waves)};
}
bool assumes(const Scenario& scenario, const std::string& text) {
  return std::ranges::any_of(scenario.assumptions, [&](const std::string& one) {
    return one.find(text) != std::string::npos;
  });
}

// Three sites; os:2 shares pack 1 with os:1.
struct SmallFleet : FakeOrigin {
  SmallFleet() {
    layer(1, "os", "1", {1, 2});
    layer(2, "os", "2", {1, 3, 4});
    layer(3, "app", "1", {5});
    site("north", {1, 2, 3, 4}, {"os:1"});
    site("south", {11, 12}, {"os:2", "app:1"});
    site("west", {21, 22, 23}, {});
  }
};

}  // namespace

TEST_CASE("import: a pack counts once, for those that lack it", "[sim]") {
  SmallFleet origin;
  origin.devices.devices[1].applied = {"os:1", "app:1"};
  const Scenario scenario = origin.scenario(plan({{.sites = {"north", "south", "west"}}}));
  std::map<std::string, std::int64_t> bytes;  // By version.
  for (const Version& version : scenario.content.versions)
    for (std::size_t i = 0; i < scenario.content.parts.size(); ++i)
      bytes[version.name] += (version.parts >> i & 1) * scenario.content.parts[i].bytes.count;
  CHECK(bytes == std::map<std::string, std::int64_t>{{"nothing", 4'000'000},
                                                     {"os:1", 3'000'000},
                                                     {"os:1 + app:1", 2'000'000},
                                                     {"os:2 + app:1", 0}});
  const RunResult result = run(scenario, {.with_direct = false});
  // north lacks packs 3, 4 and 5, west all four, south none: each crosses its line once.
  CHECK(result.sites[0].bytes[static_cast<std::size_t>(Source::origin_by_lease)].count ==
        3'000'000);
  CHECK(result.sites[1].bytes[static_cast<std::size_t>(Source::origin_by_lease)].count == 0);
  CHECK(result.sites[2].bytes[static_cast<std::size_t>(Source::origin_by_lease)].count ==
        4'000'000);
  CHECK(result.totals.done == 9);
}

TEST_CASE("import: who has an earlier version fetches the update from it", "[sim]") {
  FakeOrigin origin;
  origin.layer(1, "os", "1", {1, 2});
  origin.layer(2, "os", "2", {1, 3, 4}, FakeOrigin::Update{1, 6, {3, 4}});
  origin.layer(3, "app", "1", {5});
  origin.site("north", {1, 2, 3}, {"os:1"});
  origin.site("west", {21, 22}, {});
  const Scenario scenario = origin.scenario(plan({{.sites = {"north", "west"}}}));
  const RunResult result = run(scenario, {.with_direct = false});
  // Packs 5 and 6, and all of both layers.
  CHECK(result.sites[0].bytes[static_cast<std::size_t>(Source::origin_by_lease)].count ==
        2'000'000);
  CHECK(result.sites[1].bytes[static_cast<std::size_t>(Source::origin_by_lease)].count ==
        4'000'000);
  CHECK(result.totals.done == 5);
}

TEST_CASE("import: waves have the members that the origin would choose", "[sim]") {
  SmallFleet origin;
  auto request = plan({{.name = "a \"pilot\"", .devices = {device(2), device(21)}},
                       {.shares = {{"north", 50}}},
                       {.sites = {"north", "west"}, .warm_percent = 80, .soak_ms = 60'000}});
  const Scenario scenario = origin.scenario(request);
  const auto& waves = scenario.rollout.waves;
  REQUIRE(waves.size() == 3);
  CHECK(wave_names(request) == std::vector<std::string>{"a _pilot_", "wave 2", "wave 3"});
  CHECK(waves[0].name == "a _pilot_");
  const RunResult result = run(scenario, {.with_direct = false});
  // Devices 1 and 2 are the first half of north: 2 is in the first wave.
  CHECK(result.waves[0].devices == 2);
  CHECK(result.waves[1].devices == 1);
  CHECK(result.waves[2].devices == 4);
  CHECK(waves[2].gates.warm_percent == 80);
  CHECK(waves[2].gates.soak == 60s);
  CHECK(scenario.sites.size() == 2);
  CHECK(scenario.rollout.admission->sites_max == 10);
}

TEST_CASE("import: in large sites every wave has somebody, and no more than its percent", "[sim]") {
  SmallFleet origin;
  std::vector<int> numbers(150);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = 100 + static_cast<int>(i);
  origin.site("big", numbers, {"os:1"});
  std::vector<wire::RolloutWave> waves;
  for (int i = 0; i < 3; ++i) waves.push_back({.devices = {device(100 + i)}});
  waves.push_back({.sites = {"big"}});
  const Scenario scenario = origin.scenario(plan(waves));
  REQUIRE(scenario.rollout.waves.size() == 4);
  std::vector<int> percents;
  for (const Wave& wave : scenario.rollout.waves) percents.push_back(wave.members[0].percent);
  CHECK(percents == std::vector<int>{1, 2, 3, 100});
}

TEST_CASE("import: measured lines, assumed lines, rules, reflectors", "[sim]") {
  SmallFleet origin;
  origin.savings.savings = {{.site = "north", .days = 7, .wan_rate = 9'000'000},
                            {.site = "north", .days = 28, .wan_rate = 19'120'000}};
  origin.rules.csv =
      "subnet,site,download KB/s,upload KB/s,start,end,days\n,north,500,,00:00,24:00,*\n";
  origin.sites.sites[0].reflectors = 3;
  origin.sites.sites[2].appoint = false;
  const Scenario scenario =
      origin.scenario(plan({{.sites = {"north", "west"}}}), {.line = "8Mbit", .uplink = "2.5Gbit"});
  CHECK(scenario.sites[0].wan_down.bits_per_second == 20'000'000);  // Content / 0.956.
  CHECK(scenario.sites[0].reflectors == 3);
  CHECK(scenario.sites[0].address == "10.1.0.1");
  CHECK(scenario.sites[1].wan_down.bits_per_second == 8'000'000);
  CHECK(scenario.origin.uplink.bits_per_second == 2'500'000'000);
  CHECK(scenario.rules.size() == 1);
  CHECK(assumes(scenario, "all sites: an imported sites.csv takes others as utc"));
  CHECK(origin.files(plan({{.sites = {"north"}}}))->sites.starts_with("site,wan_down,utc,"));
  CHECK(scenario.sites[0].utc_offset == 1h);
  CHECK(assumes(scenario, "1 site of 2, whose line nobody measured, have 8Mbit"));
  CHECK(assumes(scenario, "at 1 site nobody may fetch"));
}

TEST_CASE("import: who is silent, pending or elsewhere is left out", "[sim]") {
  SmallFleet origin;
  origin.devices.devices[0].seen_ms = kNowMs - 8 * 24 * 3600 * std::int64_t{1000};
  origin.devices.devices[1].seen_ms = 0;
  origin.devices.devices[2].status = wire::DeviceStatus::rejected;
  const auto request = plan({{.sites = {"north"}}});
  const Scenario scenario = origin.scenario(request);
  CHECK(devices_of(scenario) == 1);
  CHECK(assumes(scenario, "2 devices of the waves that the origin has not heard of for 7d"));
  CHECK(devices_of(origin.scenario(request, {.silent_after = "9d"})) == 2);
  for (wire::DeviceInfo& device : origin.devices.devices) device.seen_ms = 0;
  CHECK(origin.files(request).error().text().find("no device of the waves was heard of") == 0);
}

TEST_CASE("import: a wave of silent devices is left out, the others stay", "[sim]") {
  SmallFleet origin;
  for (wire::DeviceInfo& device : origin.devices.devices)
    if (device.site == "west") device.seen_ms = 0;
  const Scenario scenario = origin.scenario(plan({{.sites = {"west"}}, {.sites = {"north"}}}));
  REQUIRE(scenario.rollout.waves.size() == 1);
  CHECK(scenario.rollout.waves[0].name == "wave 2");
}

TEST_CASE("import: the same answers give the same bytes, in any order", "[sim]") {
  SmallFleet origin;
  const auto request = plan({{.sites = {"north", "west"}}});
  const auto first = origin.files(request);
  std::ranges::reverse(origin.devices.devices);
  std::ranges::reverse(origin.sites.sites);
  const auto second = origin.files(request);
  CHECK(first->scenario == second->scenario);
  CHECK(first->sites == second->sites);
  CHECK(first->devices == second->devices);
}

TEST_CASE("import: more kinds of devices than a scenario has parts", "[sim]") {
  FakeOrigin origin;
  std::vector<int> all;
  origin.sites.sites.push_back({.name = "big"});
  for (int i = 0; i < 80; ++i) {
    all.push_back(1 + i);
    origin.layer(100 + i, "part" + std::to_string(i), "1", {1 + i});
    origin.devices.devices.push_back({.id = device(1 + i),
                                      .status = wire::DeviceStatus::assigned,
                                      .site = "big",
                                      .seen_ms = kNowMs,
                                      .applied = {"part" + std::to_string(i) + ":1"}});
  }
  origin.layer(99, "os", "2", all);
  auto request = plan({{.sites = {"big"}}});
  request.layers = {"os:2"};
  const Scenario scenario = origin.scenario(request);
  CHECK(scenario.content.parts.size() == kPartsMax);
  CHECK(assumes(scenario, "17 small parts count as one"));
  std::int64_t bytes = 0;
  for (const Part& part : scenario.content.parts) bytes += part.bytes.count;
  CHECK(bytes == 80'000'000);
}

TEST_CASE("import: an assignment is a wave without admission", "[sim]") {
  SmallFleet origin;
  const auto request = rollout_of({.site = "north", .devices = {}, .layers = {"os:2", "app:1"}});
  REQUIRE(request);
  CHECK_FALSE(origin.scenario(*request).rollout.admission);
  const auto one = rollout_of({.devices = {device(3)}, .layers = {"os:2"}});
  CHECK(run(origin.scenario(*one), {.with_direct = false}).waves[0].devices == 1);
  CHECK_FALSE(rollout_of({.layers = {"os:2"}}));
}

TEST_CASE("import: what cannot be planned says why", "[sim]") {
  SmallFleet origin;
  CHECK(collect(origin.get(), {"os:9"}).error().kind() == ErrorKind::not_found);
  CHECK(planned_rollout(origin.get(), "none").error().kind() == ErrorKind::not_found);
  const auto done = origin.files(plan({{.sites = {"south"}}}));
  CHECK(done.error().text().find("there is nothing to fetch") != std::string::npos);
  const auto options = [](ImportTexts texts) {
    return parse_import_options(texts, WallTime{}, 0s).error().text();
  };
  CHECK(options({.start = "tomorrow"}).starts_with("--start: 'tomorrow' is no date"));
  CHECK(options({.line = "0bit"}).starts_with("--line: "));
  CHECK(options({.uplink = "fast"}).starts_with("--uplink: "));
  CHECK(options({.silent_after = "-3d"}).starts_with("--silent-after: "));
  CHECK(options({.duration = "1s"}).starts_with("--duration: "));
  const auto good = parse_import_options({.start = "2026-03-02T20:00:00+01:00"}, WallTime{}, 0s);
  CHECK(good->start.ns / 1'000'000 == kNowMs);
  CHECK(good->utc_offset == 1h);
}

TEST_CASE("measured: times and bytes by wave and site, without those that left", "[sim]") {
  wire::RolloutDetail detail;
  wire::RolloutInfo& rollout = detail.rollout;
  rollout.plan = plan({{.name = "first", .sites = {"north"}}, {.sites = {"south"}}});
  rollout.started_ms = 1000;
  rollout.waves = {{.step = "begun", .began_ms = 2000}, {.step = "begun", .began_ms = 60'000}};
  const auto add = [&](int n, const char* site, int wave, const char* outcome,
                       std::optional<std::int64_t> at, std::int64_t wan) {
    detail.devices.push_back({.device = device(n),
                              .site = site,
                              .wave = wave,
                              .outcome = outcome,
                              .text = {},
                              .outcome_ms = at,
                              .bytes_by_source = {{{"origin-by-lease", wan}, {"reflector", 5}}}});
  };
  add(1, "north", 0, "succeeded", 12'000, 100);
  add(2, "north", 0, "succeeded", 32'000, 20);
  add(3, "north", 0, "left", 99'000, 7);
  add(4, "south", 1, "succeeded", 70'000, 1);
  add(5, "south", 1, "open", std::nullopt, 0);
  const auto outcome = parse_measured(wire::to_json(detail));
  REQUIRE(outcome);
  REQUIRE(outcome->waves.size() == 2);
  CHECK(outcome->waves[0] ==
        Outcome::Wave{"first", 2, 2, {Duration(10s), Duration(30s), Duration(30s)}});
  CHECK(outcome->waves[1] == Outcome::Wave{"wave 2", 2, 1, {Duration(10s), {}, {}}});
  REQUIRE(outcome->sites.size() == 2);
  CHECK(outcome->sites[0] == Outcome::Site{"north", 2, 2, Instant{31s}, Bytes{120}, Bytes{10}});
  CHECK(outcome->sites[1] == Outcome::Site{"south", 2, 1, {}, Bytes{1}, Bytes{10}});

  // Numbers that cannot be are refused, not computed with.
  const wire::RolloutDetail good = detail;
  const auto is_refused = [&] {
    const auto refused = parse_measured(wire::to_json(std::exchange(detail, good)));
    return !refused && refused.error().text() == "a time or a number of bytes in it cannot be";
  };
  detail.devices[0].outcome_ms = 9'000'000'000'000;
  CHECK(is_refused());
  detail.devices[1].bytes_by_source = {{"reflector", 2'000'000'000'000'000}};
  CHECK(is_refused());
  rollout.waves[0].began_ms = 9'000'000'000'000;
  CHECK(is_refused());

  rollout.started_ms = 0;
  CHECK(parse_measured(wire::to_json(detail)).error().text() == "rollout r was not started yet");
  CHECK_FALSE(parse_measured("{}"));
  CHECK_FALSE(parse_measured("no JSON"));
}
