#include "origin/catalog/traffic.hpp"

#include <catch2/catch.hpp>

#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;

namespace {

constexpr std::int64_t kDay = 24 * 3600 * std::int64_t{1'000'000'000};

DeviceId device(int n) {
  std::array<std::byte, DeviceId::kSize> bytes{};
  bytes.back() = static_cast<std::byte>(n);
  return DeviceId(bytes);
}
const DeviceId kAnn = device(1), kBob = device(2);

// Speaks in days since 1970.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};

  static WallTime at(double days) {
    return {static_cast<std::int64_t>(days * static_cast<double>(kDay))};
  }
  Bench() {
    for (const char* site : {"north", "south"})
      REQUIRE(catalog.add_site({"test", at(0)}, {.name = site}));
    for (const DeviceId& id : {kAnn, kBob}) {
      const auto token = catalog.create_token(
          {"test", at(0)}, {.name = "t" + id.short_hex() + std::to_string(id == kAnn),
                            .kind = "enrol",
                            .uses = 1,
                            .ttl_ms = 1000,
                            .site = "north"});
      REQUIRE(token);
      REQUIRE(catalog.enrol(at(0), {.token = token->secret}, id, "key"));
    }
  }
  void say(double day, const DeviceId& id, BytesBySource totals, std::int64_t since = 1) {
    REQUIRE(catalog.note_poll(id, {.bytes = wire::ByteCounts{since, std::move(totals)}}, at(day)));
  }
  BytesBySource bytes(const std::string& site) { return catalog.site_bytes()->at(site); }
  wire::SiteSavings savings(double day, const std::string& site, std::int64_t days) {
    const auto list = catalog.savings(at(day));
    REQUIRE(list);
    for (const wire::SiteSavings& savings : *list)
      if (savings.site == site && savings.days == days) return savings;
    FAIL("no savings of " << site);
    return {};
  }
};

}  // namespace

TEST_CASE("traffic: what devices say again is counted once", "[origin]") {
  Bench bench;
  CHECK(bench.bytes("north").empty());
  for (int i = 0; i < 3; ++i) bench.say(1, kAnn, {{"lan-peer", 70}, {"origin-by-lease", 30}});
  bench.say(1, kBob, {{"lan-peer", 100}});
  CHECK(bench.bytes("north") == BytesBySource{{"lan-peer", 170}, {"origin-by-lease", 30}});
  bench.say(1, kAnn, {{"lan-peer", 75}, {"origin-by-lease", 30}});
  CHECK(bench.bytes("north").at("lan-peer") == 175);
  CHECK(bench.bytes("south").empty());
}

TEST_CASE("traffic: totals that shrank count from where they were", "[origin]") {
  Bench bench;
  bench.say(1, kAnn, {{"lan-peer", 70}});
  bench.say(1, kAnn, {{"lan-peer", 60}});
  CHECK(bench.bytes("north").at("lan-peer") == 70);
  bench.say(1, kAnn, {{"lan-peer", 72}});
  CHECK(bench.bytes("north").at("lan-peer") == 72);
  CHECK(bench.catalog.device(kAnn)->bytes->by_source.at("lan-peer") == 72);
}

TEST_CASE("traffic: a ledger that began anew counts from nothing", "[origin]") {
  Bench bench;
  bench.say(1, kAnn, {{"lan-peer", 70}}, 1);
  bench.say(1, kAnn, {{"lan-peer", 5}}, 2);
  bench.say(1, kAnn, {{"lan-peer", 5}}, 2);
  CHECK(bench.bytes("north").at("lan-peer") == 75);
}

TEST_CASE("traffic: a device that moved counts for its new site from then on", "[origin]") {
  Bench bench;
  bench.say(1, kAnn, {{"lan-peer", 70}});
  REQUIRE(bench.catalog.place_device({"test", Bench::at(1)}, kAnn, "south"));
  bench.say(1, kAnn, {{"lan-peer", 80}});
  CHECK(bench.bytes("north").at("lan-peer") == 70);
  CHECK(bench.bytes("south").at("lan-peer") == 10);
}

TEST_CASE("traffic: a source that nobody knows is 'other', and numbers do not run over",
          "[origin]") {
  Bench bench;
  bench.say(1, kAnn, {{"a\"b", 7}, {"courier", 2}, {"lan-peer", INT64_MAX}});
  bench.say(1, kBob, {{"lan-peer", INT64_MAX}});
  CHECK(bench.bytes("north") == BytesBySource{{"lan-peer", INT64_MAX}, {"other", 9}});
}

TEST_CASE("traffic: savings look back 7 and 28 days, today included", "[origin]") {
  Bench bench;
  BytesBySource totals;
  for (int day = 100; day <= 160; ++day) {
    totals["lan-peer"] += 6, totals["reflector"] += 2;
    totals["origin-by-lease"] += 1, totals["origin-by-budget"] += 1, totals["local-cache"] += 50;
    bench.say(day + 0.5, kAnn, totals);
  }
  const auto week = bench.savings(160.9, "north", 7), month = bench.savings(160.9, "north", 28);
  CHECK(week.lan_bytes == 7 * 8);
  CHECK(week.wan_bytes == 7 * 2);
  CHECK(month.lan_bytes == 28 * 8);
  CHECK(month.wan_bytes == 28 * 2);
  CHECK(bench.savings(161.1, "north", 7).lan_bytes == 6 * 8);
  CHECK(bench.savings(160.9, "south", 28).lan_bytes == 0);
  CHECK(bench.savings(400, "north", 28).wan_bytes == 0);
}

TEST_CASE("traffic: the fastest of a period is the line's rate, and is kept for forty days",
          "[origin]") {
  Bench bench;
  const auto note = [&](double day, std::int64_t rate) {
    REQUIRE(bench.catalog.note_line_rate("north", BitRate{rate}, Bench::at(day)));
  };
  CHECK_FALSE(bench.savings(100, "north", 7).wan_rate);
  note(100, 5'000'000), note(100.5, 9'000'000), note(100.9, 4'000'000), note(110, 2'000'000);
  CHECK(bench.savings(106, "north", 7).wan_rate == 9'000'000);
  CHECK(bench.savings(110, "north", 7).wan_rate == 2'000'000);
  CHECK(bench.savings(110, "north", 28).wan_rate == 9'000'000);
  CHECK_FALSE(bench.savings(110, "south", 28).wan_rate);
  for (int day = 111; day < 200; ++day) note(day, 1);
  const auto days = std::ranges::count_if(bench.table.rows(), [](const auto& row) {
    return row.first.starts_with("site-rate/north/");
  });
  CHECK(days == 40);
}

TEST_CASE("traffic: days are kept for forty days only, totals for ever", "[origin]") {
  Bench bench;
  for (int day = 1; day <= 100; ++day) bench.say(day, kAnn, {{"lan-peer", day}});
  const auto days = std::ranges::count_if(
      bench.table.rows(), [](const auto& row) { return row.first.starts_with("site-day/north/"); });
  CHECK(days == 40);
  CHECK(bench.bytes("north").at("lan-peer") == 100);
}

TEST_CASE("traffic: when the catalogue cannot be written, neither total nor device has it",
          "[origin]") {
  Bench bench;
  bench.table.fail_commit = true;
  CHECK_FALSE(bench.catalog.note_poll(kAnn, {.bytes = wire::ByteCounts{1, {{"lan-peer", 9}}}},
                                      Bench::at(1)));
  CHECK(bench.bytes("north").empty());
  bench.say(1, kAnn, {{"lan-peer", 9}});
  CHECK(bench.bytes("north").at("lan-peer") == 9);
}

TEST_CASE("devices: the last poll is remembered to the hour", "[origin]") {
  Bench bench;
  const auto seen = [&](double day) {
    REQUIRE(bench.catalog.note_poll(kAnn, {}, Bench::at(day)));
    return bench.catalog.device(kAnn)->seen_ms;
  };
  CHECK(seen(1) == Bench::at(1).ns / 1'000'000);
  CHECK(seen(1.04) == Bench::at(1).ns / 1'000'000);
  CHECK(seen(1.05) == Bench::at(1.05).ns / 1'000'000);
}
