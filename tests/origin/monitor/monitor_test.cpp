#include "origin/monitor/monitor.hpp"

#include <catch2/catch.hpp>

#include "tests/support/exposition_check.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace std::chrono_literals;

namespace {

DeviceId device(int n) {
  std::array<std::byte, DeviceId::kSize> bytes{};
  bytes.fill(static_cast<std::byte>(0xa0 + n));
  return DeviceId(bytes);
}
const DeviceId kAnn = device(1), kBob = device(2);

// Speaks in seconds since the origin started.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  Sites sites{catalog, PrivateKey::generate().value(), {}};
  Seeders seeders;
  wire::DiskSpace disk{300, 1000};
  Monitor monitor = make();

  Monitor make() {
    return Monitor(catalog, sites,
                   {.certificates = {{"server", at(500).wall}, {"api-ca", at(-20).wall}},
                    .disk = [this]() -> Result<wire::DiskSpace> { return disk; },
                    .seeders = &seeders},
                   at(0).wall);
  }
  static Moment at(int t) {
    return {Instant{std::chrono::seconds{t}}, WallTime{(t + 1000) * std::int64_t{1'000'000'000}}};
  }
  Bench() {
    REQUIRE(catalog.add_site({"test", at(0).wall}, {.name = "north"}));
    for (const DeviceId& id : {kAnn, kBob}) enrol(id, "north");
  }
  void enrol(const DeviceId& id, const std::string& site) {
    const auto token = catalog.create_token(
        {"test", at(0).wall},
        {.name = "t" + id.short_hex(), .kind = "enrol", .uses = 1, .ttl_ms = 1000, .site = site});
    REQUIRE(token);
    REQUIRE(catalog.enrol(at(0).wall, {.token = token->secret}, id, "key"));
  }
  void poll(int t, const DeviceId& id, std::int64_t missing, BytesBySource bytes = {}) {
    wire::PollRequest poll{.bytes = wire::ByteCounts{1, std::move(bytes)}};
    if (missing > 0) poll.wants = {{LayerId::parse(std::string(64, 'b')).value(), missing}};
    REQUIRE(catalog.note_poll(id, poll, at(t).wall));
    REQUIRE(sites.reported("north", id, poll, at(t)));
  }
  CheckedExposition scrape(int t) {
    const auto text = monitor.metrics(at(t), 3);
    REQUIRE(text);
    last = *text;
    auto checked = check_exposition(*text);
    CHECK(checked.findings == std::vector<std::string>{});
    return checked;
  }
  std::string last;
};

}  // namespace

TEST_CASE("origin metrics: the figures of catalogue, sites and requests", "[origin]") {
  Bench bench;
  bench.enrol(device(3), "");
  bench.poll(1, kAnn, 900, {{"origin-by-lease", 40}});
  bench.poll(1, kBob, 500, {{"lan-peer", 70}});
  for (const char* path : {"/v1/node/poll", "/v1/node/poll", "/v1/devices", "/a/\"b"})
    bench.monitor.answered(path, path[1] == 'a' ? 404 : 200);
  REQUIRE(bench.catalog.begin_alert({"origin", bench.at(1).wall},
                                    {.kind = "disk-low", .object = "origin", .text = "full"}));
  const auto checked = bench.scrape(2);
  const std::map<std::string, double> wanted{
      {"lamina_site_bytes_total{site=\"north\",source=\"lan-peer\"}", 70},
      {"lamina_site_bytes_total{site=\"north\",source=\"origin-by-lease\"}", 40},
      {"lamina_site_bytes_total{site=\"north\",source=\"origin-by-budget\"}", 0},
      {"lamina_devices{status=\"assigned\"}", 2},
      {"lamina_devices{status=\"pending\"}", 1},
      {"lamina_devices{status=\"rejected\"}", 0},
      {"lamina_site_devices{site=\"north\"}", 2},
      {"lamina_site_devices_up{site=\"north\"}", 2},
      {"lamina_site_lease_held{site=\"north\"}", 1},
      {"lamina_site_missing_bytes{site=\"north\"}", 900},
      {"lamina_leases_granted_total", 1},
      {"lamina_leases_ended_total{reason=\"lapsed\"}", 0},
      {"lamina_polls_waiting", 3},
      {"lamina_requests_total{class=\"poll\",status=\"2xx\"}", 2},
      {"lamina_requests_total{class=\"administrator\",status=\"2xx\"}", 1},
      {"lamina_requests_total{class=\"administrator\",status=\"4xx\"}", 1},
      {"lamina_certificate_seconds_left{certificate=\"server\"}", 498},
      {"lamina_certificate_seconds_left{certificate=\"api-ca\"}", -22},
      {"lamina_alerts{kind=\"disk-low\"}", 1},
      {"lamina_alerts{kind=\"reflector-down\"}", 0},
      {"lamina_disk_free_bytes", 300},
      {"lamina_disk_size_bytes", 1000},
      {"lamina_start_time_seconds", 1000}};
  for (const auto& [key, value] : wanted) {
    INFO(key);
    REQUIRE(checked.samples.contains(key));
    CHECK(checked.samples.at(key) == value);
  }
}

TEST_CASE("origin metrics: seeders that are up and those that are not", "[origin]") {
  Bench bench;
  for (const int n : {8, 9}) {
    const auto token = bench.catalog.create_token(
        {"test", bench.at(0).wall},
        {.name = "s" + std::to_string(n), .kind = "seeder", .ttl_ms = 1000});
    REQUIRE(token);
    REQUIRE(bench.catalog.join_seeder(bench.at(0).wall, token->secret, "key", device(n)));
    REQUIRE(bench.catalog.seeder_certified({"test", bench.at(0).wall}, device(n),
                                           bench.at(9000).wall.ns / 1'000'000));
  }
  bench.seeders.polled(
      device(8), "192.0.2.8:8444",
      {.missing_bytes = 70, .certificate_expires_ms = bench.at(9000).wall.ns / 1'000'000},
      bench.at(1).now, bench.at(1).wall);
  const auto checked = bench.scrape(2);
  CHECK(checked.samples.at("lamina_seeder_up{seeder=\"s8\"}") == 1);
  CHECK(checked.samples.at("lamina_seeder_up{seeder=\"s9\"}") == 0);
  CHECK(checked.samples.at("lamina_seeder_missing_bytes{seeder=\"s8\"}") == 70);
}

TEST_CASE("origin metrics: no label names a device or a layer", "[origin]") {
  Bench bench;
  bench.poll(1, kAnn, 900, {{"origin-by-lease", 40}});
  bench.scrape(2);
  CHECK(bench.last.find("a1a1a1a1") == std::string::npos);
  CHECK(bench.last.find("bbbbbbbb") == std::string::npos);
}

TEST_CASE("origin metrics: a lease that lapsed is counted, and no counter falls", "[origin]") {
  Bench bench;
  bench.poll(1, kAnn, 900, {{"origin-by-lease", 40}});
  const auto before = bench.scrape(2);
  REQUIRE(bench.sites.tick(Bench::at(10)));
  bench.poll(11, kAnn, 0, {{"origin-by-lease", 10}});  // It forgot something.
  const auto after = bench.scrape(12);
  CHECK(after.samples.at("lamina_leases_ended_total{reason=\"lapsed\"}") == 1);
  CHECK(after.samples.at("lamina_site_lease_held{site=\"north\"}") == 0);
  CHECK(fallen_counter(before, after) == "");
}

TEST_CASE("origin metrics: bytes by source outlive a restart of the origin", "[origin]") {
  Bench bench;
  bench.poll(1, kAnn, 0, {{"lan-peer", 40}});
  Catalog again(bench.table);
  Sites sites(again, PrivateKey::generate().value(), {});
  const Monitor monitor(
      again, sites,
      {.certificates = {},
       .disk = []() -> Result<wire::DiskSpace> { return fail(ErrorKind::unavailable, "no disk"); }},
      Bench::at(50).wall);
  const auto text = monitor.metrics(Bench::at(60), 0);
  REQUIRE(text);
  const auto checked = check_exposition(*text);
  CHECK(checked.findings == std::vector<std::string>{});
  CHECK(checked.samples.at("lamina_site_bytes_total{site=\"north\",source=\"lan-peer\"}") == 40);
  CHECK_FALSE(checked.samples.contains("lamina_disk_free_bytes"));
}
