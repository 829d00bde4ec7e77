#include "origin/sites/member_lists.hpp"

#include <catch2/catch.hpp>

#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace std::chrono_literals;

namespace {

DeviceId device(int n) {
  std::array<std::byte, DeviceId::kSize> bytes{};
  bytes[0] = std::byte(n);
  return DeviceId(bytes);
}

// Speaks in seconds since the test began; the wall clock is 1000 s ahead.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  std::optional<MemberLists> lists;

  Bench() {
    REQUIRE(catalog.add_site({"test", {}}, {"north", ""}));
    REQUIRE(catalog.add_site({"test", {}}, {"south", ""}));
    restart();
  }
  void restart() { lists.emplace(catalog, key); }

  wire::DeviceInfo info(int n, const std::string& site, const std::string& address = "10.0.0.9") {
    return {.id = device(n),
            .status = site.empty() ? wire::DeviceStatus::pending : wire::DeviceStatus::assigned,
            .site = site,
            .lan_address = address,
            .swarm_port = 8444};
  }
  std::optional<Buffer> envelope(std::chrono::seconds t, int n, std::uint64_t known,
                                 const std::string& site = "north") {
    return lists->newer(site, device(n), known, Instant{t}, WallTime{(1000s + t) / 1ns}).value();
  }
  std::optional<format::SiteMembers> newer(std::chrono::seconds t, int n, std::uint64_t known,
                                           const std::string& site = "north") {
    const auto bytes = envelope(t, n, known, site);
    if (!bytes) return std::nullopt;
    const PublicKey trusted = key.public_key();
    auto opened = format::open_record(format::RecordType::members, *bytes, std::span(&trusted, 1));
    return format::parse_members(opened.value().record).value();
  }
};

}  // namespace

TEST_CASE("member lists: a list comes when it changed, and not again", "[origin]") {
  Bench bench;
  CHECK_FALSE(bench.newer(0s, 1, 0));  // Nobody is there yet: loads the registry.
  bench.lists->note(bench.info(1, "north", "10.0.0.1"));
  bench.lists->note(bench.info(2, "north", "10.0.0.2"));
  bench.lists->note(bench.info(3, "south"));
  bench.lists->note(bench.info(4, ""));
  const auto list = bench.newer(10s, 1, 0);
  REQUIRE(list);
  CHECK(list->site == "north");
  REQUIRE(list->members.size() == 2);
  CHECK(list->members[1].address == "10.0.0.2");
  CHECK_FALSE(bench.newer(11s, 1, list->sequence));
  CHECK(bench.newer(11s, 2, 0) == list);
  CHECK_FALSE(bench.newer(11s, 3, 0));  // Of another site: the list does not name it.

  bench.lists->note(bench.info(2, "north", "10.0.0.2"));
  CHECK_FALSE(bench.newer(20s, 1, list->sequence));
  bench.lists->note(bench.info(2, "north", "10.0.0.7"));
  const auto next = bench.newer(21s, 1, list->sequence);
  REQUIRE(next);
  CHECK(next->sequence > list->sequence);
}

TEST_CASE("member lists: who was moved, rejected or waits is in the old site's list no more",
          "[origin]") {
  Bench bench;
  CHECK_FALSE(bench.newer(0s, 1, 0));
  for (int n = 1; n <= 4; ++n) bench.lists->note(bench.info(n, "north"));
  const auto before = bench.newer(10s, 1, 0);
  REQUIRE(before);
  bench.lists->note(bench.info(2, "south"));
  bench.lists->forget(device(3));
  auto waiting = bench.info(4, "north");
  waiting.waiting = "a strange network";
  bench.lists->note(waiting);
  const auto after = bench.newer(20s, 1, before->sequence);
  REQUIRE(after);
  CHECK(after->members.size() == 1);
  CHECK(bench.newer(20s, 2, 0, "south"));
}

TEST_CASE("member lists: while a site starts its list is not signed for every device", "[origin]") {
  Bench bench;
  CHECK_FALSE(bench.newer(0s, 1, 0));
  bench.lists->note(bench.info(1, "north"));
  const auto first = bench.newer(10s, 1, 0);
  REQUIRE(first);
  bench.lists->note(bench.info(2, "north"));
  CHECK_FALSE(bench.newer(12s, 1, first->sequence));
  CHECK_FALSE(bench.newer(12s, 2, 0));
  CHECK(bench.newer(15s, 2, 0));
}

TEST_CASE("member lists: after a restart the same list stays, and the sequence goes on",
          "[origin]") {
  Bench bench;
  const auto token = bench.catalog.create_token(
      {"test", {}}, {.name = "t", .kind = "enrol", .uses = 9, .ttl_ms = 1000, .site = "north"});
  REQUIRE(token);
  REQUIRE(bench.catalog.enrol({}, {.token = token->secret}, device(1), "fingerprint"));
  const auto list = bench.newer(0s, 1, 0);
  REQUIRE(list);
  bench.restart();
  CHECK(bench.newer(10s, 1, 0) == list);
  REQUIRE(bench.catalog.enrol({}, {.token = token->secret}, device(2), "fingerprint"));
  bench.restart();
  // The clock was set back: a new number all the same.
  const auto next = bench.lists->newer("north", device(1), list->sequence, Instant{60s}, {});
  REQUIRE((next && *next));
  const PublicKey trusted = bench.key.public_key();
  const auto opened =
      format::open_record(format::RecordType::members, **next, std::span(&trusted, 1));
  CHECK(format::parse_members(opened.value().record)->sequence == list->sequence + 1);
}

TEST_CASE("member lists: a list that cannot be kept is not shown", "[origin]") {
  Bench bench;
  CHECK_FALSE(bench.newer(0s, 1, 0));
  bench.lists->note(bench.info(1, "north"));
  bench.table.fail_commit = true;
  CHECK_FALSE(bench.lists->newer("north", device(1), 0, Instant{10s}, WallTime{1}));
  CHECK(bench.newer(20s, 1, 0));
}
