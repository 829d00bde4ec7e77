#include "origin/sites/sites.hpp"

#include <catch2/catch.hpp>

#include "shared/format/record.hpp"
#include "tests/support/ids.hpp"
#include "tests/support/memory_table.hpp"

using namespace lamina;
using namespace lamina::origin;
using lamina::tests::id_of;
using namespace std::chrono_literals;

namespace {

const DeviceId kAnn = id_of<DeviceId>(1), kBob = id_of<DeviceId>(2);

// Speaks in seconds since the test began; the wall clock is 1,000,000 s ahead.
struct Bench {
  MemoryTable table;
  Catalog catalog{table};
  PrivateKey key = PrivateKey::generate().value();
  Sites sites = make();

  Sites make() { return Sites(catalog, key, {.seeders = {"192.0.2.1:8444"}}); }
  static Moment at(std::chrono::milliseconds t) {
    return {Instant{t}, WallTime{(t + 1'000'000s) / 1ns}};
  }
  Status poll(std::chrono::milliseconds t, DeviceId device, std::int64_t missing,
              const std::string& site = "shop", const std::string& address = "10.0.0.9") {
    wire::PollRequest poll{.lan_address = address, .swarm_port = 8445};
    if (missing > 0) poll.wants = {{id_of<LayerId>(1), missing}};
    return sites.reported(site, device, poll, at(t));
  }
  Result<wire::LeaseReply> renew(std::chrono::milliseconds t, DeviceId device, std::uint64_t epoch,
                                 std::int64_t missing) {
    wire::LeaseRequest request{.epoch = epoch, .wants = {}};
    if (missing > 0) request.wants = {{id_of<LayerId>(1), missing}};
    return sites.renewed("shop", device, request, at(t));
  }
  Sites::View view(std::chrono::milliseconds t, DeviceId device) {
    return sites.view("shop", device, at(t));
  }
  // As Bob says it.
  Status lacks(std::chrono::milliseconds t, const wire::Want& want) {
    const wire::PollRequest poll{.wants = {want}, .lan_address = "10.0.0.9", .swarm_port = 8445};
    return sites.reported("shop", kBob, poll, at(t));
  }
  // The view's version after it.
  std::uint64_t only_ann_leads(std::chrono::milliseconds t) {
    REQUIRE(sites.set_reflectors("shop", 1, {kAnn}, at(t)));
    REQUIRE(sites.set_appoint("shop", false, at(t)));
    return view(t, kAnn).site.version;
  }
};

}  // namespace

TEST_CASE("sites: only the holder sees the token and the seeders", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 100));
  REQUIRE(bench.poll(0s, kBob, 50));
  const auto ann = bench.view(1s, kAnn).lease, bob = bench.view(1s, kBob).lease;
  REQUIRE((ann && bob));
  CHECK(ann->seeders == std::vector<std::string>{"192.0.2.1:8444"});
  CHECK(ann->expires_in_ms == 4000);
  CHECK(bob->holder == kAnn);
  CHECK(bob->token.empty());
  CHECK(bob->seeders.empty());

  const std::vector trusted{bench.key.public_key()};
  const auto opened = format::open_record(format::RecordType::lease, ann->token, trusted);
  REQUIRE(opened);
  const auto token = format::parse_lease(opened->record);
  REQUIRE(token);
  CHECK(token->site == "shop");
  CHECK(token->device == kAnn);
  CHECK(token->epoch == ann->epoch);
  CHECK(token->expires == Bench::at(5s).wall);
}

TEST_CASE("sites: a device that wants nothing gets no lease", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 0));
  CHECK_FALSE(bench.view(0s, kAnn).lease);
}

TEST_CASE("sites: a holder that stops renewing loses the lease to the next", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 100));
  REQUIRE(bench.poll(0s, kBob, 100));
  const auto first = bench.view(0s, kAnn).lease->epoch;
  REQUIRE(bench.renew(3s, kAnn, first, 90));
  REQUIRE(bench.sites.tick(Bench::at(3s)));
  bench.sites.take_changed();
  CHECK(bench.sites.next_change() == Instant{8s});
  REQUIRE(bench.sites.tick(Bench::at(8s)));
  CHECK(bench.sites.take_changed().contains("shop"));
  CHECK(bench.sites.lease_holders("shop") == std::vector{kBob});
  CHECK(bench.view(8s, kBob).lease->epoch > first);

  const auto late = bench.renew(9s, kAnn, first, 90);
  REQUIRE_FALSE(late);
  CHECK(late.error().kind() == ErrorKind::refused);
}

TEST_CASE("sites: a lease that ran out is not shown, tick or no tick", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 100));
  CHECK(bench.view(4999ms, kAnn).lease);
  CHECK_FALSE(bench.view(5s, kAnn).lease);
}

TEST_CASE("sites: a lease given back has no successor without candidates", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 100));
  const auto reply = bench.renew(1s, kAnn, bench.view(0s, kAnn).lease->epoch, 0);
  REQUIRE(reply);
  CHECK_FALSE(reply->lease);
  CHECK(bench.sites.lease_holders("shop").empty());
}

TEST_CASE("sites: after a restart a new grant has a higher epoch", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 100));
  const auto before = bench.view(0s, kAnn);
  Sites restarted = bench.make();
  REQUIRE(restarted.reported("shop", kAnn, {.wants = {{id_of<LayerId>(1), 5}}}, Bench::at(2s)));
  const auto after = restarted.view("shop", kAnn, Bench::at(2s));
  CHECK(after.lease->epoch > before.lease->epoch);
  CHECK(after.site.version > before.site.version);
}

TEST_CASE("sites: an epoch that could not be recorded is never shown", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 0));
  bench.table.fail_commit = true;
  CHECK_FALSE(bench.poll(1s, kAnn, 100));
  CHECK_FALSE(bench.view(1s, kAnn).lease);
}

TEST_CASE("sites: peers are the other listening members of the same site", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 0, "shop", "10.0.0.1"));
  REQUIRE(bench.poll(0s, kBob, 0, "shop", "10.0.0.2"));
  REQUIRE(bench.poll(0s, id_of<DeviceId>(3), 0, "depot", "10.0.0.3"));
  REQUIRE(bench.poll(0s, id_of<DeviceId>(4), 0, "shop", ""));
  CHECK(bench.view(0s, kAnn).site.peers == std::vector<wire::Peer>{{kBob, "10.0.0.2", 8445}});
}

TEST_CASE("sites: a poll that says nothing new wakes nobody", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 0));
  CHECK_FALSE(bench.sites.take_changed().empty());
  REQUIRE(bench.poll(1s, kAnn, 0));
  CHECK(bench.sites.take_changed().empty());
  REQUIRE(bench.poll(2s, kAnn, 0, "shop", "10.0.0.77"));
  CHECK_FALSE(bench.sites.take_changed().empty());
}

TEST_CASE("sites: a change of rules reaches the sites that it concerns", "[origin]") {
  Bench bench;
  for (const char* name : {"shop", "depot"})
    REQUIRE(bench.catalog.add_site({"test", WallTime{1}}, {.name = name}));
  const auto set = [&](const std::string& csv) {
    bench.sites.take_changed();
    bench.sites.set_bandwidth_rules(policy::parse_bandwidth_rules(csv).value());
    return bench.sites.take_changed();
  };
  REQUIRE(bench.poll(0s, kAnn, 0));
  REQUIRE(bench.poll(0s, kBob, 0, "depot"));
  const auto before = bench.view(0s, kAnn).site;
  CHECK_FALSE(before.rules_version);

  const std::string shops = ",shop,250,,08:00,18:00,*\n";
  CHECK(set(shops) == std::set<std::string>{"shop"});
  const auto limited = bench.view(1s, kAnn).site;
  REQUIRE(limited.rules_version);
  CHECK(limited.version > before.version);
  CHECK_FALSE(limited.rules);
  CHECK(bench.sites.bandwidth_rules("shop").ends_with("\n" + shops));
  CHECK(bench.sites.bandwidth_rules("depot").empty());

  // Also after a restart they have the same name, and a site that opens later has them.
  Sites restarted = bench.make();
  restarted.set_bandwidth_rules(policy::parse_bandwidth_rules(shops).value());
  REQUIRE(restarted.reported("shop", kAnn, {}, Bench::at(2s)));
  CHECK(restarted.view("shop", kAnn, Bench::at(2s)).site.rules_version == limited.rules_version);

  CHECK(set(shops + ",depot,0,,08:00,18:00,*\n") == std::set<std::string>{"depot"});
  CHECK(set("") == std::set<std::string>{"depot", "shop"});
  CHECK_FALSE(bench.view(3s, kAnn).site.rules_version);
}

TEST_CASE("sites: a moved device and a silent one leave the site", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 10));
  REQUIRE(bench.poll(0s, kBob, 0));
  REQUIRE(bench.poll(1s, kAnn, 10, "depot"));
  CHECK(bench.view(1s, kBob).site.peers.empty());
  CHECK_FALSE(bench.view(1s, kBob).lease);
  CHECK(bench.sites.lease_holders("depot") == std::vector{kAnn});

  REQUIRE(bench.poll(2s, kAnn, 10));
  REQUIRE(bench.poll(149s, kAnn, 10));
  REQUIRE(bench.sites.tick(Bench::at(150s)));
  CHECK(bench.view(150s, kAnn).site.peers.empty());
}

TEST_CASE("sites: for withheld layers nobody gets the lease, for others it is granted",
          "[origin]") {
  Bench bench;
  const auto rollout = id_of<LayerId>(1), urgent = id_of<LayerId>(2);
  REQUIRE(bench.sites.withhold("shop", {rollout}, Bench::at(0s)));
  REQUIRE(bench.poll(0s, kAnn, 100));
  CHECK_FALSE(bench.view(0s, kAnn).lease);
  CHECK(bench.view(0s, kAnn).site.withheld == std::vector<LayerId>{rollout});

  wire::PollRequest poll{.wants = {{rollout, 100}, {urgent, 7}}};
  REQUIRE(bench.sites.reported("shop", kBob, poll, Bench::at(1s)));
  CHECK(bench.sites.lease_holders("shop") == std::vector{kBob});
}

TEST_CASE("sites: the lease comes with the admission, and goes with it", "[origin]") {
  Bench bench;
  const auto rollout = id_of<LayerId>(1);
  REQUIRE(bench.sites.withhold("shop", {rollout}, Bench::at(0s)));
  REQUIRE(bench.poll(0s, kAnn, 100));
  bench.sites.take_changed();
  REQUIRE(bench.sites.withhold("shop", {}, Bench::at(1s)));
  CHECK(bench.sites.take_changed().contains("shop"));
  const auto lease = bench.view(1s, kAnn).lease;
  REQUIRE(lease);
  CHECK_FALSE(bench.view(1s, kAnn).site.withheld);

  REQUIRE(bench.sites.withhold("shop", {rollout}, Bench::at(2s)));
  CHECK_FALSE(bench.view(2s, kAnn).lease);
  const auto renewed = bench.renew(3s, kAnn, lease->epoch, 90);
  REQUIRE_FALSE(renewed);
  CHECK(renewed.error().kind() == ErrorKind::refused);
  CHECK(bench.sites.is_up("shop"));
  CHECK_FALSE(bench.sites.is_up("depot"));
}

TEST_CASE("sites: a device that should not serve hands the lease over", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 100));
  REQUIRE(bench.poll(0s, kBob, 100));
  CHECK(bench.sites.lease_holders("shop") == std::vector{kAnn});
  wire::PollRequest poll{.wants = {{id_of<LayerId>(1), 50}}, .unfit = "on-battery"};
  REQUIRE(bench.sites.reported("shop", kAnn, poll, Bench::at(1s)));
  CHECK(bench.sites.lease_holders("shop") == std::vector{kBob});
}

TEST_CASE("sites: a token opens packs for its device while it holds the lease", "[origin]") {
  Bench bench;
  REQUIRE(bench.poll(0s, kAnn, 100));
  const Buffer token = bench.view(0s, kAnn).lease->token;
  const auto check = [&](std::chrono::milliseconds t, const Buffer& shown, DeviceId device = kAnn,
                         const std::string& site = "shop", std::uint64_t target = 7) {
    const auto lease = bench.sites.check_token(shown, site, device, target, Bench::at(t));
    if (!lease) CHECK(lease.error().kind() == ErrorKind::refused);
    return lease.has_value();
  };
  const auto signed_by = [](const PrivateKey& key, const format::LeaseToken& lease) {
    return format::sign_record(format::RecordType::lease, format::encode(lease), key);
  };
  const format::LeaseToken good{
      .site = "shop", .device = kAnn, .epoch = 1, .expires = Bench::at(5s).wall};
  CHECK(check(1s, token));
  CHECK(check(1s, signed_by(bench.key, good)));
  CHECK_FALSE(check(1s, {}));
  CHECK_FALSE(check(1s, to_buffer("nonsense")));
  CHECK_FALSE(check(1s, signed_by(PrivateKey::generate().value(), good)));
  CHECK_FALSE(check(1s, token, kBob));
  CHECK_FALSE(check(1s, token, kAnn, "depot"));
  CHECK_FALSE(check(5s, token));
  for (const std::uint64_t epoch : {0, 2}) {
    auto other = good;
    other.epoch = epoch;
    CHECK_FALSE(check(1s, signed_by(bench.key, other)));
  }

  // Given back, the token is worth nothing, though it has not run out.
  REQUIRE(bench.renew(1s, kAnn, 1, 0));
  CHECK_FALSE(check(1s, token));
  // Neither when the next lease is somebody else's.
  REQUIRE(bench.poll(2s, kBob, 100));
  CHECK_FALSE(check(2s, token));
  CHECK(check(2s, bench.view(2s, kBob).lease->token, kBob));
  // Nor after the origin has started again.
  const Buffer bobs = bench.view(2s, kBob).lease->token;
  CHECK(check(2s, bobs, kBob));
  CHECK_FALSE(bench.make().check_token(bobs, "shop", kBob, 7, Bench::at(2s)));
}

TEST_CASE("sites: the token of a WAN budget belongs to one target", "[origin]") {
  Bench bench;
  const Buffer token = bench.sites.budget_lease(kAnn, 7, Bench::at(0s)).token;
  const auto check = [&](std::chrono::milliseconds t, DeviceId device, std::uint64_t target) {
    return bench.sites.check_token(token, "shop", device, target, Bench::at(t)).has_value();
  };
  CHECK(check(1s, kAnn, 7));
  CHECK_FALSE(check(1s, kAnn, 8));
  CHECK_FALSE(check(1s, kBob, 7));
  CHECK_FALSE(check(5s, kAnn, 7));
}

TEST_CASE("sites: members that come at once are told together", "[origin]") {
  Bench bench;
  const auto version = [&](std::chrono::milliseconds time, const DeviceId& device) {
    return bench.view(time, device).site.version;
  };
  REQUIRE(bench.poll(0s, kAnn, 0));
  REQUIRE(bench.sites.tick(Bench::at(0s)));
  const auto known = version(0s, kAnn);
  CHECK_FALSE(bench.sites.is_news("shop", kAnn, known));
  REQUIRE(bench.poll(100ms, kBob, 0));
  REQUIRE(bench.sites.tick(Bench::at(100ms)));
  CHECK(version(100ms, kAnn) > known);
  CHECK_FALSE(bench.sites.is_news("shop", kAnn, known));
  CHECK(bench.sites.is_news("shop", kBob, 0));  // It knows nothing yet.
  CHECK(bench.sites.next_change() == Instant{1s});
  bench.sites.take_changed();
  REQUIRE(bench.sites.tick(Bench::at(1s)));
  CHECK(bench.sites.take_changed().contains("shop"));
  CHECK(bench.sites.is_news("shop", kAnn, known));
  // Of another origin's time.
  CHECK(bench.sites.is_news("shop", kAnn, version(1s, kAnn) + 1));
  SECTION("the peers are said again only when they changed") {
    const auto before = version(1s, kAnn);
    CHECK(bench.sites.has_same_peers("shop", before));
    CHECK_FALSE(bench.sites.has_same_peers("shop", 0));
    CHECK_FALSE(bench.sites.has_same_peers("shop", before + 1));
    CHECK_FALSE(bench.sites.has_same_peers("shop", known));
    REQUIRE(bench.poll(1100ms, kBob, 100));  // It gets the lease.
    CHECK(version(1100ms, kAnn) > before);
    CHECK(bench.sites.has_same_peers("shop", before));
    REQUIRE(bench.sites.left(kBob, Bench::at(1200ms)));
    CHECK_FALSE(bench.sites.has_same_peers("shop", before));
  }
  SECTION("who gets the lease hears of it at once") {
    const auto before = version(1s, kAnn);
    REQUIRE(bench.poll(1100ms, kBob, 100));
    CHECK(bench.sites.is_news("shop", kBob, before));
    CHECK_FALSE(bench.sites.is_news("shop", kAnn, before));
  }
  SECTION("what an administrator changes is told at once") {
    const auto before = version(1s, kAnn);
    REQUIRE(bench.sites.set_appoint("shop", false, Bench::at(1100ms)));
    CHECK(bench.sites.is_news("shop", kAnn, before));
  }
  SECTION("and so is how its line is used") {
    const auto before = version(1s, kAnn);
    REQUIRE(bench.sites.set_transport("shop", "https", Bench::at(1100ms)));
    CHECK(bench.sites.is_news("shop", kAnn, before));
    CHECK(bench.view(1100ms, kAnn).site.transport == "https");
    REQUIRE(bench.sites.set_transport("shop", "auto", Bench::at(1200ms)));
    CHECK_FALSE(bench.view(1200ms, kAnn).site.transport);
  }
}

namespace {

// The token of a view that says that the device holds a lease.
format::LeaseToken token_of(const Bench& bench, const std::optional<wire::LeaseView>& lease) {
  REQUIRE(lease);
  const std::vector trusted{bench.key.public_key()};
  const auto opened = format::open_record(format::RecordType::lease, lease->token, trusted);
  REQUIRE(opened);
  const auto token = format::parse_lease(opened->record);
  REQUIRE(token);
  return *token;
}

}  // namespace

TEST_CASE("sites: two reflectors hold leases for halves, and everybody knows both", "[origin]") {
  Bench bench;
  REQUIRE(bench.sites.set_reflectors("shop", 2, {}, Bench::at(0s)));
  const DeviceId cem = id_of<DeviceId>(3);
  for (const DeviceId& device : {kAnn, kBob, cem}) REQUIRE(bench.poll(0s, device, 100));
  const auto whole = bench.view(0s, kAnn).lease;
  CHECK(token_of(bench, whole).shares.is_all());
  CHECK_FALSE(whole->shares);
  CHECK_FALSE(whole->holders);

  const auto half = bench.renew(1s, kAnn, whole->epoch, 90);
  REQUIRE(half);
  CHECK(half->lease->epoch > whole->epoch);
  CHECK(half->lease->shares == ShareSet::all().lowest(6));
  // Until it says that it has the narrower one, either token is good for ranges.
  for (const auto& lease : {*whole, *half->lease})
    CHECK(bench.sites.check_token(lease.token, "shop", kAnn, 0, Bench::at(1s)));
  CHECK(bench.view(1s, kBob).lease->token.empty());
  REQUIRE(bench.renew(2s, kAnn, half->lease->epoch, 80));
  CHECK_FALSE(bench.sites.check_token(whole->token, "shop", kAnn, 0, Bench::at(2s)));

  const auto ann = bench.view(2s, kAnn).lease, bob = bench.view(2s, kBob).lease;
  CHECK_FALSE(token_of(bench, ann).shares.overlaps(token_of(bench, bob).shares));
  CHECK(token_of(bench, bob).shares == bob->shares);
  CHECK(bench.sites.check_token(ann->token, "shop", kAnn, 0, Bench::at(2s)));
  CHECK(bench.sites.check_token(bob->token, "shop", kBob, 0, Bench::at(2s)));
  const auto third = bench.view(2s, cem).lease;
  REQUIRE(third);
  CHECK(third->token.empty());
  CHECK(third->holders == std::vector{kAnn, kBob});
  CHECK(third->holder == kAnn);
  CHECK(bench.sites.lease_holders("shop") == std::vector{kAnn, kBob});
  // Both epochs are in the catalogue: a restarted origin goes on above them.
  CHECK(bench.catalog.lease_epoch("shop").value() == bob->epoch);
}

TEST_CASE("sites: without appointment only a named reflector is granted the lease", "[origin]") {
  Bench bench;
  REQUIRE(bench.sites.set_appoint("shop", false, Bench::at(0s)));
  REQUIRE(bench.poll(0s, kAnn, 10));
  REQUIRE(bench.poll(0s, kBob, 10));
  CHECK(bench.sites.lease_holders("shop").empty());
  REQUIRE(bench.sites.set_reflectors("shop", 2, {kBob}, Bench::at(1s)));
  CHECK(bench.sites.lease_holders("shop") == std::vector{kBob});
  CHECK(token_of(bench, bench.view(1s, kBob).lease).shares.is_all());
  // Turned off once more, it keeps the lease; and is none any more when it is named no more.
  REQUIRE(bench.sites.set_appoint("shop", false, Bench::at(2s)));
  CHECK(bench.sites.lease_holders("shop") == std::vector{kBob});
  REQUIRE(bench.sites.set_reflectors("shop", 1, {}, Bench::at(3s)));
  CHECK(bench.sites.lease_holders("shop").empty());
}

TEST_CASE("sites: what is configured in the catalogue holds after a restart", "[origin]") {
  Bench bench;
  const Act act{"test", {}};
  REQUIRE(bench.catalog.add_site(act, {.name = "shop", .subnet = ""}));
  REQUIRE(bench.catalog.set_reflectors(act, "shop", {.count = 2}));
  REQUIRE(bench.catalog.set_transport(act, "shop", "swarm"));
  REQUIRE(bench.poll(0s, kAnn, 100));
  CHECK(bench.view(0s, kAnn).site.transport == "swarm");
  REQUIRE(bench.poll(0s, kBob, 100));
  const auto half = bench.renew(1s, kAnn, bench.view(0s, kAnn).lease->epoch, 90);
  REQUIRE(half);
  CHECK(half->lease->shares == ShareSet::all().lowest(6));
  CHECK_FALSE(bench.sites.set_reflectors("shop", 5, {}, Bench::at(2s)));
}

TEST_CASE("sites: the rate over the line is what polls at least 10 s apart say", "[origin]") {
  Bench bench;
  REQUIRE(bench.catalog.add_site({"test", Bench::at(0s).wall}, {.name = "shop"}));
  const auto say = [&](std::chrono::milliseconds t, std::int64_t wan, std::int64_t since = 1) {
    const wire::ByteCounts bytes{since, {{"origin-by-lease", wan}, {"lan-peer", 9 * wan}}};
    REQUIRE(bench.sites.reported("shop", kAnn, {.swarm_port = 8445, .bytes = bytes}, bench.at(t)));
  };
  const auto rate = [&] {
    return bench.catalog.savings(Bench::at(0s).wall).value().front().wan_rate;
  };
  say(0s, 1'000'000);
  say(1s, 9'000'000);  // Pieces that became whole together: no rate.
  CHECK_FALSE(rate());
  say(20s, 11'000'000);
  CHECK(rate() == 4'000'000);
  say(60s, 11'000'000), say(100s, 12'000'000);  // Slower: it stays.
  CHECK(rate() == 4'000'000);
  say(120s, 99'000'000, 2);  // Another ledger begins.
  CHECK(rate() == 4'000'000);
  say(130s, 109'000'000, 2);
  CHECK(rate() == 8'000'000);
}

TEST_CASE("sites: who may fetch is told of packs that only others need", "[origin]") {
  Bench bench;
  const auto layer = id_of<LayerId>(1);
  const auto lacks = [&](std::chrono::milliseconds t, bool fresh) {
    return bench.lacks(t, {layer, 100, fresh ? std::optional(true) : std::nullopt});
  };
  REQUIRE(bench.poll(0s, kAnn, 0));
  REQUIRE(lacks(0s, true));
  // It fetches them itself.
  CHECK_FALSE(bench.view(0s, kAnn).site.fresh);

  const auto known = bench.only_ann_leads(1s);
  REQUIRE(lacks(2s, true));
  CHECK(bench.sites.is_news("shop", kAnn, known));
  CHECK(bench.view(2s, kAnn).site.fresh == std::vector{layer});
  CHECK_FALSE(bench.view(2s, kBob).site.fresh);
  // What it lacks besides is no reason.
  REQUIRE(lacks(3s, false));
  CHECK_FALSE(bench.view(3s, kAnn).site.fresh);
  REQUIRE(lacks(4s, true));
  REQUIRE(bench.poll(5s, kBob, 0));
  CHECK_FALSE(bench.view(5s, kAnn).site.fresh);
}

TEST_CASE("sites: who may fetch is told of updates that others take, by the version before",
          "[origin]") {
  Bench bench;
  const auto layer = id_of<LayerId>(1), from = id_of<LayerId>(2);
  const auto lacks = [&](std::chrono::milliseconds t, std::optional<LayerId> update) {
    return bench.lacks(t, {layer, 100, std::nullopt, update});
  };
  REQUIRE(bench.poll(0s, kAnn, 0));
  REQUIRE(lacks(0s, from));
  // It fetches it itself.
  CHECK_FALSE(bench.view(0s, kAnn).site.updates);

  const auto known = bench.only_ann_leads(1s);
  REQUIRE(lacks(2s, from));
  CHECK(bench.sites.is_news("shop", kAnn, known));
  CHECK(bench.view(2s, kAnn).site.updates == std::vector{wire::UpdateOf{layer, from}});
  CHECK_FALSE(bench.view(2s, kAnn).site.fresh);
  CHECK_FALSE(bench.view(2s, kBob).site.updates);
  REQUIRE(lacks(3s, std::nullopt));
  CHECK_FALSE(bench.view(3s, kAnn).site.updates);
}
