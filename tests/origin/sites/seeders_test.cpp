#include "origin/sites/seeders.hpp"

#include <catch2/catch.hpp>

#include "origin/sites/sites.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;
using namespace std::chrono_literals;

namespace {

const std::vector<std::string> kOwn{"192.0.2.1:8444"};
const std::string kTwo = "192.0.2.2:8444", kThree = "192.0.2.3:8444";
const LayerId kOs = id_of<LayerId>(1), kApp = id_of<LayerId>(2);

WallTime wall(Duration t) { return {(t + 1'000'000s) / 1ns}; }

wire::SeederPollRequest says(std::vector<LayerId> holds, Duration certificate = 100h) {
  return {.holds = std::move(holds), .certificate_expires_ms = wall(certificate).ns / 1'000'000};
}

struct Bench {
  Seeders seeders{{.told_max = 9}};
  void poll(Duration t, int id, const std::string& address, wire::SeederPollRequest request) {
    seeders.polled(id_of<DeviceId>(id), address, std::move(request), Instant{t}, wall(t));
  }
  std::set<std::string> told(Duration t, const std::set<LayerId>& layers) const {
    const auto list = seeders.told(kOwn, "north", layers, Instant{t}, wall(t));
    return {list.begin(), list.end()};
  }
  std::string state(Duration t, int id, std::int64_t listed) const {
    wire::SeederInfo info{.id = id_of<DeviceId>(id)};
    info.certificate_expires_ms = wall(100h).ns / 1'000'000;
    seeders.complete(info, listed, Instant{t}, wall(t));
    return info.state;
  }
};

}  // namespace

TEST_CASE("seeders: told are those that are up and hold a layer that is wanted", "[origin]") {
  Bench bench;
  bench.poll(0s, 2, kTwo, says({kOs}));
  bench.poll(0s, 3, kThree, says({kApp}));
  CHECK(bench.told(1s, {kOs}) == std::set<std::string>{kOwn[0], kTwo});
  const std::set<std::string> all{kOwn[0], kTwo, kThree};
  CHECK(bench.told(1s, {kOs, kApp}) == all);
  CHECK(bench.told(1s, {}) == all);

  bench.poll(10s, 2, kTwo, says({kOs}));
  // The third has been silent for 12 s.
  CHECK(bench.told(12s, {}) == std::set<std::string>{kOwn[0], kTwo});
  bench.seeders.removed(id_of<DeviceId>(2));
  CHECK(bench.told(12s, {}) == std::set<std::string>{kOwn[0]});
}

TEST_CASE("seeders: one whose certificate has expired is not told", "[origin]") {
  Bench bench;
  bench.poll(0s, 2, kTwo, says({kOs}, 2s));
  CHECK(bench.told(1s, {kOs}).contains(kTwo));
  CHECK_FALSE(bench.told(2s, {kOs}).contains(kTwo));
  CHECK(bench.state(2s, 2, 1) == "certificate-expired");
}

TEST_CASE("seeders: sites begin with different ones, and are told two at most", "[origin]") {
  Bench bench{.seeders = Seeders()};
  for (int id = 2; id <= 9; ++id)
    bench.poll(0s, id, "192.0.2." + std::to_string(id) + ":8444", says({kOs}));
  std::map<std::string, int> first;
  for (int site = 0; site < 900; ++site) {
    const auto list =
        bench.seeders.told(kOwn, "site" + std::to_string(site), {kOs}, Instant{1s}, wall(1s));
    REQUIRE(list.size() == 2);
    CHECK(list[0] != list[1]);
    ++first[list.front()];
    // The same at every renewal.
    CHECK(bench.seeders.told(kOwn, "site" + std::to_string(site), {kOs}, Instant{2s}, wall(2s)) ==
          list);
  }
  CHECK(first.size() == 9);
  for (const auto& [address, sites] : first) CHECK((sites > 50 && sites < 150));
}

TEST_CASE("seeders: how one stands", "[origin]") {
  Bench bench;
  CHECK(bench.state(0s, 2, 1) == "silent");
  auto poll = says({});
  poll.missing_bytes = 60;
  poll.held_bytes = 40;
  bench.poll(0s, 2, kTwo, poll);
  CHECK(bench.state(1s, 2, 1) == "mirroring");
  poll.trouble = "the disk is full";
  bench.poll(1s, 2, kTwo, poll);
  CHECK(bench.state(1s, 2, 1) == "trouble");
  bench.poll(2s, 2, kTwo, says({kOs}));
  CHECK(bench.state(2s, 2, 1) == "up");
  // A layer was published since.
  CHECK(bench.state(2s, 2, 2) == "mirroring");
  CHECK(bench.state(20s, 2, 1) == "silent");
}

TEST_CASE("seeders: the lease holder is told of those elsewhere too", "[origin]") {
  MemoryTable table;
  Catalog catalog{table};
  Seeders seeders;
  Sites sites(catalog, PrivateKey::generate().value(), {.seeders = kOwn, .elsewhere = &seeders});
  const DeviceId ann = id_of<DeviceId>(1);
  const auto holder_is_told = [&](Duration t) {
    wire::PollRequest poll{.lan_address = "10.0.0.9", .swarm_port = 8445};
    poll.wants = {{kOs, 100}};
    REQUIRE(sites.reported("shop", ann, poll, {Instant{t}, wall(t)}));
    const auto lease = sites.view("shop", ann, {Instant{t}, wall(t)}).lease;
    REQUIRE(lease);
    return std::set<std::string>(lease->seeders.begin(), lease->seeders.end());
  };
  CHECK(holder_is_told(1s) == std::set<std::string>{kOwn[0]});
  seeders.polled(id_of<DeviceId>(2), kTwo, says({kOs}), Instant{2s}, wall(2s));
  CHECK(holder_is_told(2s) == std::set<std::string>{kOwn[0], kTwo});
}
