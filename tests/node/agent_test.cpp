#include "node/net/agent.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;

namespace {

template <class Id>
Id id_of(int n) {
  std::array<std::byte, Id::kSize> bytes{};
  bytes[0] = std::byte(n);
  return Id(bytes);
}
const auto me = id_of<DeviceId>(1);
const auto other = id_of<DeviceId>(2);
const auto base = id_of<LayerId>(10);
const auto app = id_of<LayerId>(11);

// Speaks to the agent in time since the test began, and keeps what it says.
struct Bench {
  Bench() {
    memory.device = me;
    memory.target_key = key.public_key();
    memory.certificate_expires = Instant{7 * 24h};
    memory.swarm_certificate_expires = Instant{30 * 24h};
    start();
  }
  void start() { agent.emplace(Agent::Limits{}, memory, "test", Instant{}); }

  void at(Duration t, Agent::Event event) { said = agent->on(event, Instant{t}); }

  template <class T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const auto& action : said)
      if (const auto* one = std::get_if<T>(&action)) found.push_back(*one);
    return found;
  }

  Buffer target(std::uint64_t sequence, std::vector<LayerId> stack, DeviceId device = me,
                format::WanBudget budget = format::WanBudget::never, std::uint64_t budget_value = 0,
                std::vector<LayerId> stage = {}) const {
    format::DeviceTarget record;
    record.stage = std::move(stage);
    record.device = device;
    record.sequence = sequence;
    record.issued = WallTime{1};
    record.expires = WallTime{std::int64_t{1} << 60};
    record.stack = std::move(stack);
    record.budget = budget;
    record.budget_value = budget_value;
    return format::sign_record(format::RecordType::target, format::encode(record), key);
  }
  static Agent::Polled assigned(std::optional<Buffer> target = std::nullopt) {
    Agent::Polled polled;
    polled.reply.status = wire::DeviceStatus::assigned;
    polled.reply.target = std::move(target);
    return polled;
  }
  static Agent::Polled leased(std::uint64_t epoch, DeviceId holder = me) {
    auto polled = assigned();
    polled.reply.site = wire::SiteView{.name = "s", .version = epoch, .peers = {}};
    wire::LeaseView lease;
    lease.holder = holder;
    lease.epoch = epoch;
    lease.expires_in_ms = 5000;
    if (holder == me) lease.token = to_buffer("token");
    polled.reply.lease = lease;
    return polled;
  }
  // As far as a layer being fetched.
  void fetching() {
    at(0s, Agent::Tick{});
    at(1s, assigned(target(1, {base})));
    at(2s, Agent::RecordsFetched{base, 100_MiB});
  }

  // As far as a layer being fetched under a target with a WAN budget.
  void fetching_with(format::WanBudget budget, std::uint64_t value) {
    at(0s, Agent::Tick{});
    at(1s, assigned(target(1, {base}, me, budget, value)));
    at(1s, Agent::RecordsFetched{base, 100_MiB});
  }
  Agent::BudgetGranted granted(std::uint64_t sequence) const {
    Agent::BudgetGranted event;
    event.reply.lease = wire::LeaseView{
        .holder = me, .epoch = sequence, .token = to_buffer("token"), .expires_in_ms = 5000};
    return event;
  }
  // As far as an apply under way.
  void applying() {
    fetching();
    at(3s, Agent::LayerComplete{base});
    at(3s, Agent::SyncEnded{});
  }

  PrivateKey key = *PrivateKey::generate();
  Agent::Memory memory;
  std::optional<Agent> agent;
  std::vector<Agent::Action> said;
};

}  // namespace

TEST_CASE("agent: a target is fetched, shared, and applied once all of it is there", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  REQUIRE(bench.all<Agent::Poll>().size() == 1);
  CHECK(bench.all<Agent::Poll>()[0].request.wait_ms == 0);  // First contact: answer at once.

  bench.at(1s, Bench::assigned(bench.target(1, {base, app})));
  CHECK(bench.all<Agent::KeepTarget>().size() == 1);
  CHECK(bench.all<Agent::FetchRecords>().size() == 2);

  bench.at(2s, Agent::RecordsFetched{base, 100_MiB});
  CHECK(bench.all<Agent::Join>()[0].layer == base);
  const auto quick = bench.all<Agent::Poll>();
  REQUIRE(quick.size() == 1);  // Beside the waiting one.
  CHECK(quick[0].kind == Agent::PollKind::quick);
  CHECK(quick[0].request.wants == std::vector<wire::Want>{{base, (100_MiB).count}});

  bench.at(3s, Agent::RecordsFetched{app, 1_MiB});
  bench.at(4s, Agent::LayerComplete{base});
  CHECK(bench.all<Agent::Apply>().empty());
  bench.at(5s, Agent::LayerComplete{app});
  CHECK(bench.all<Agent::Apply>().empty());  // A snapshot first.
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  CHECK(bench.all<Agent::Sync>()[0].reason == "before-apply");
  bench.at(5s, Agent::SyncEnded{});
  REQUIRE(bench.all<Agent::Apply>().size() == 1);
  CHECK(bench.all<Agent::Apply>()[0].sequence == 1);

  bench.at(6s, Agent::Tick{});
  CHECK(bench.all<Agent::Apply>().empty());  // One at a time.
  bench.at(7s, Agent::Applied{1});
  bench.at(8s, Agent::Tick{});
  CHECK(bench.all<Agent::Apply>().empty());
  CHECK(bench.agent->applied_sequence() == 1);
}

TEST_CASE("agent: a target that waits for the restart is not applied again; a newer one is",
          "[node]") {
  Bench bench;
  const auto complete = [&](Duration from, std::uint64_t sequence) {
    bench.at(from, Bench::assigned(bench.target(sequence, {base})));
    if (sequence == 1) {
      bench.at(from + 1s, Agent::RecordsFetched{base, 1_MiB});
      bench.at(from + 2s, Agent::LayerComplete{base});
    }
    bench.at(from + 3s, Agent::SyncEnded{});
  };
  complete(1s, 1);
  REQUIRE(bench.all<Agent::Apply>().size() == 1);
  bench.at(5s, Agent::ApplyWaits{1});
  bench.at(6s, Agent::Tick{});
  CHECK(bench.all<Agent::Apply>().empty());
  CHECK(bench.agent->is_waiting_for_restart());
  CHECK(bench.agent->reason(base) == "waiting-for-restart");
  CHECK(bench.agent->applied_sequence() == 0);

  complete(10s, 2);
  REQUIRE(bench.all<Agent::Apply>().size() == 1);
  CHECK(bench.all<Agent::Apply>()[0].sequence == 2);
  CHECK_FALSE(bench.agent->is_waiting_for_restart());
  bench.at(15s, Agent::ApplyWaits{2});
  bench.at(16s, Agent::Reverted{});
  CHECK_FALSE(bench.agent->is_waiting_for_restart());
  CHECK(bench.all<Agent::Apply>().empty());  // It was given up by a person.

  // After a restart of the node alone.
  bench.memory.waits = 2;
  bench.memory.target = bench.target(2, {base});
  bench.start();
  CHECK(bench.agent->is_waiting_for_restart());
}

TEST_CASE("agent: a want says which update it is of, until that is given up", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  bench.at(1s, Bench::assigned(bench.target(1, {base})));
  bench.at(2s, Agent::RecordsFetched{base, 50_MiB, false, app});
  CHECK(bench.all<Agent::Poll>()[0].request.wants.at(0).update == app);
  auto answered = Bench::assigned();
  answered.kind = Agent::PollKind::quick;
  bench.at(3s, answered);
  bench.at(4s, Agent::PacksNeeded{base, 60_MiB});
  const auto polls = bench.all<Agent::Poll>();
  REQUIRE(polls.size() == 1);
  CHECK_FALSE(polls[0].request.wants.at(0).update);
}

TEST_CASE("agent: packs that the site needs are wanted once more, and said to be fresh", "[node]") {
  Bench bench;
  bench.fetching();
  CHECK_FALSE(bench.all<Agent::Poll>()[0].request.wants.at(0).fresh);
  bench.at(3s, Agent::LayerComplete{base});
  CHECK(bench.agent->layers().at(base).phase == Agent::Layer::Phase::complete);
  auto answered = Bench::assigned();
  answered.kind = Agent::PollKind::quick;
  bench.at(4s, answered);
  bench.at(5s, Agent::PacksNeeded{base, 30_MiB});
  CHECK(bench.agent->layers().at(base).phase == Agent::Layer::Phase::fetching);
  bench.at(6s, answered);
  const auto polls = bench.all<Agent::Poll>();
  REQUIRE(polls.size() == 1);
  CHECK(polls[0].request.wants == std::vector<wire::Want>{{base, (30_MiB).count, true}});
  bench.at(7s, Agent::LayerComplete{base});
  CHECK(bench.agent->layers().at(base).phase == Agent::Layer::Phase::complete);
  // One whose records are not here yet is fetched whole anyway.
  bench.at(8s, Bench::assigned(bench.target(2, {base, app})));
  bench.at(9s, Agent::PacksNeeded{app, 30_MiB});
  CHECK(bench.agent->layers().at(app).phase == Agent::Layer::Phase::records);
}

TEST_CASE("agent: the devices of a site fetch a layer's records in turns", "[node]") {
  Bench bench;
  const auto mine_first = id_of<LayerId>(1);  // Nearer to this device's id than to the other's.
  auto polled = bench.assigned(bench.target(1, {base, mine_first}));
  polled.reply.site = wire::SiteView{.name = "s", .version = 1, .peers = {{other, "10.0.0.2", 1}}};
  SECTION("each layer in another order") {
    bench.at(1s, polled);
    REQUIRE(bench.all<Agent::FetchRecords>().size() == 1);
    CHECK(bench.all<Agent::FetchRecords>()[0].layer == mine_first);
    CHECK(bench.agent->next_change() == Instant{1050ms});
    bench.at(1050ms, Agent::Tick{});
    REQUIRE(bench.all<Agent::FetchRecords>().size() == 1);
    CHECK(bench.all<Agent::FetchRecords>()[0].layer == base);
  }
  SECTION("with many devices no longer than the last turn") {
    for (int i = 100; i < 200; ++i)
      polled.reply.site->peers.push_back({id_of<DeviceId>(8), "10.0.0.2", 1});
    bench.at(1s, polled);
    bench.at(2999ms, Agent::Tick{});
    CHECK(bench.all<Agent::FetchRecords>().empty());
    bench.at(3s, Agent::Tick{});
    CHECK(bench.all<Agent::FetchRecords>().size() == 1);
  }
  SECTION("told to hurry, at once") {
    bench.at(1s, polled);
    bench.at(1001ms, Agent::Hurry{});
    CHECK(bench.all<Agent::FetchRecords>().size() == 1);
  }
  SECTION("after a restart it does not wait: they are on disk") {
    bench.memory.target = *polled.reply.target;
    bench.memory.site = polled.reply.site->peers;
    bench.start();
    bench.at(0s, Agent::Tick{});
    CHECK(bench.all<Agent::FetchRecords>().size() == 2);
  }
}

TEST_CASE("agent: a pending device polls and does nothing else", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  Agent::Polled pending;
  bench.at(1s, pending);
  CHECK(bench.said.empty());
  CHECK(bench.agent->next_change() == Instant{2s});
  bench.at(2s, Agent::Tick{});
  CHECK(bench.said.size() == 1);
  CHECK(bench.all<Agent::Poll>().size() == 1);
}

TEST_CASE("agent: an unreachable origin is asked again, ever less often", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  Duration last{};
  Instant now{};
  for (int i = 0; i < 5; ++i) {
    bench.at(now.time_since_epoch(), Agent::PollFailed{Agent::PollKind::waiting, 0});
    CHECK(bench.all<Agent::Poll>().empty());
    const Instant next = *bench.agent->next_change();
    CHECK(next - now > last);
    last = next - now;
    now = next;
    bench.at(now.time_since_epoch(), Agent::Tick{});
    CHECK(bench.all<Agent::Poll>().size() == 1);
  }
  CHECK_FALSE(bench.agent->origin_reachable());
}

TEST_CASE("agent: targets that are forged, foreign or replayed are refused", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  bench.at(1s, Bench::assigned(bench.target(5, {base})));

  bench.at(2s, Bench::assigned(bench.target(4, {app})));
  REQUIRE(bench.all<Agent::RefuseTarget>().size() == 1);
  CHECK(bench.all<Agent::RefuseTarget>()[0].why.find("replayed") != std::string::npos);

  bench.at(3s, Bench::assigned(bench.target(6, {app}, other)));
  CHECK(bench.all<Agent::RefuseTarget>().size() == 1);

  auto forged = bench.target(7, {app});
  forged[forged.size() / 2] ^= std::byte{1};
  bench.at(4s, Bench::assigned(forged));
  CHECK(bench.all<Agent::RefuseTarget>().size() == 1);
  CHECK(bench.agent->target()->sequence == 5);
}

TEST_CASE("agent: the holder leads, renews each second and gives the lease back", "[node]") {
  Bench bench;
  bench.fetching();
  bench.at(3s, Bench::leased(1));
  REQUIRE(bench.all<Agent::Lead>().size() == 1);
  CHECK(bench.all<Agent::Lead>()[0].expires == Instant{8s});
  CHECK(bench.agent->next_change() == Instant{4s});

  bench.at(4s, Agent::Tick{});
  REQUIRE(bench.all<Agent::RenewLease>().size() == 1);
  CHECK(bench.all<Agent::RenewLease>()[0].request.wants.size() == 1);
  bench.at(4100ms, Agent::LeaseRenewed{{Bench::leased(1).reply.lease}});
  CHECK(bench.all<Agent::Lead>()[0].expires == Instant{9100ms});

  bench.at(4500ms, Agent::LayerComplete{base});
  REQUIRE(bench.all<Agent::RenewLease>().size() == 1);
  CHECK(bench.all<Agent::RenewLease>()[0].request.wants.empty());
  bench.at(4600ms, Agent::LeaseRenewed{});
  CHECK(bench.all<Agent::Resign>().size() == 1);
  CHECK_FALSE(bench.agent->leads());
}

TEST_CASE("agent: a lease that ran out is dropped before anything else", "[node]") {
  Bench bench;
  bench.fetching();
  bench.at(3s, Bench::leased(1));
  bench.at(4s, Agent::Tick{});
  // Stopped for a while; the first thing after waking is the late answer to the renewal.
  bench.at(60s, Agent::LeaseRenewed{{Bench::leased(1).reply.lease}});
  REQUIRE_FALSE(bench.said.empty());
  CHECK(std::holds_alternative<Agent::Resign>(bench.said[0]));
  CHECK(bench.all<Agent::Lead>().empty());
  CHECK_FALSE(bench.agent->leads());
}

TEST_CASE("agent: a lease of some shares leads those, and others hold the rest", "[node]") {
  Bench bench;
  bench.fetching();
  auto polled = Bench::leased(1);
  polled.reply.lease->shares = ShareSet::all().lowest(6);
  polled.reply.lease->holders = {other, me};
  bench.at(3s, polled);
  REQUIRE(bench.all<Agent::Lead>().size() == 1);
  CHECK(bench.all<Agent::Lead>()[0].shares == ShareSet::all().lowest(6));
  CHECK(bench.agent->shares() == ShareSet::all().lowest(6));
  // More of them come with a renewal.
  bench.at(4s, Agent::LeaseRenewed{{Bench::leased(2).reply.lease}});
  REQUIRE(bench.all<Agent::Lead>().size() == 1);
  CHECK(bench.all<Agent::Lead>()[0].shares.is_all());
  // Without a lease of its own it still is one of the others that fetches.
  bench.at(5s, Agent::LeaseLost{});
  CHECK(bench.agent->shares().empty());
  CHECK(bench.agent->reason(base) == "lan-peer");
}

TEST_CASE("agent: somebody else's lease is not led", "[node]") {
  Bench bench;
  bench.fetching();
  bench.at(3s, Bench::leased(1, other));
  CHECK(bench.all<Agent::Lead>().empty());
}

TEST_CASE("agent: an unassigned layer is left, a common one is kept", "[node]") {
  Bench bench;
  bench.applying();
  bench.at(4s, Agent::Applied{1});
  bench.at(5s, Bench::assigned(bench.target(2, {base, app})));
  CHECK(bench.all<Agent::Leave>().empty());
  CHECK(bench.all<Agent::FetchRecords>().size() == 1);
  bench.at(6s, Agent::RecordsFetched{app, 1_MiB});
  bench.at(7s, Bench::assigned(bench.target(3, {base})));
  REQUIRE(bench.all<Agent::Leave>().size() == 1);
  CHECK(bench.all<Agent::Leave>()[0].layer == app);
  CHECK(bench.all<Agent::Sync>().size() == 1);  // Base is there already.
  bench.at(8s, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Apply>().size() == 1);
}

TEST_CASE("agent: a failed apply is tried again only if that may help", "[node]") {
  Bench bench;
  bench.applying();
  bench.at(4s, Agent::ApplyFailed{1, true, 0});
  CHECK(bench.all<Agent::Apply>().empty());
  bench.at(20s, Agent::Tick{});
  CHECK(bench.all<Agent::Apply>().size() == 1);
  bench.at(21s, Agent::ApplyFailed{1, false, 0});
  bench.at(2h, Agent::Tick{});
  CHECK(bench.all<Agent::Apply>().empty());
  bench.at(3h, Agent::SyncEnded{});
  bench.at(3h, Bench::assigned(bench.target(2, {base})));
  bench.at(3h, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Apply>().size() == 1);
}

TEST_CASE("agent: a layer that is lost is fetched from its records on, after a while", "[node]") {
  Bench bench;
  bench.applying();
  bench.at(4s, Agent::LayerLost{base, 0});
  REQUIRE(bench.all<Agent::Leave>().size() == 1);
  CHECK(bench.all<Agent::FetchRecords>().empty());
  bench.at(4s, Agent::ApplyFailed{1, true, 0});
  bench.at(10s, Agent::Tick{});
  REQUIRE(bench.all<Agent::FetchRecords>().size() == 1);
  CHECK(bench.all<Agent::Apply>().empty());
  bench.at(11s, Agent::RecordsFetched{base, 1_MiB});
  CHECK(bench.all<Agent::Join>().size() == 1);
  bench.at(12s, Agent::LayerComplete{base});
  CHECK(bench.all<Agent::Apply>().size() == 1);  // The snapshot was made before.
}

TEST_CASE("agent: certificates are renewed before they end, and again after a failure", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  CHECK(bench.all<Agent::Renew>().empty());
  bench.at(3 * 24h, Agent::Tick{});
  REQUIRE(bench.all<Agent::Renew>().size() == 1);
  CHECK_FALSE(bench.all<Agent::Renew>()[0].swarm);
  bench.at(3 * 24h + 1s, Agent::RenewFailed{false, 0});
  CHECK(bench.all<Agent::Renew>().empty());
  bench.at(3 * 24h + 10s, Agent::Tick{});
  CHECK(bench.all<Agent::Renew>().size() == 1);
  bench.at(3 * 24h + 11s, Agent::Renewed{false, Instant{10 * 24h}});
  bench.at(3 * 24h + 60s, Agent::Tick{});
  CHECK(bench.all<Agent::Renew>().empty());
}

TEST_CASE("agent: with a wrong clock certificates are not renewed without end", "[node]") {
  Bench bench;
  bench.at(400 * 24h, Agent::Tick{});
  CHECK(bench.all<Agent::Renew>().size() == 1);
  // Issued by the origin's clock, a year behind: it is over as it comes.
  bench.at(400 * 24h + 1s, Agent::Renewed{false, Instant{42 * 24h}});
  CHECK(bench.all<Agent::Renew>().empty());
  bench.at(400 * 24h + 9min, Agent::Tick{});
  CHECK(bench.all<Agent::Renew>().empty());
  bench.at(400 * 24h + 11min, Agent::Tick{});
  CHECK(bench.all<Agent::Renew>().size() == 1);
}

TEST_CASE("agent: with a wrong clock nothing is fetched, and the reason is said", "[node]") {
  Bench bench;
  bench.fetching();
  bench.at(3s, Bench::leased(1));
  bench.at(3500ms, Agent::Renewed{false, Instant{-42 * 24h}});
  CHECK(bench.agent->reason(base) == "waiting-for-clock");
  // The lease is given back, for another device.
  bench.at(4s, Agent::Tick{});
  REQUIRE(bench.all<Agent::RenewLease>().size() == 1);
  CHECK(bench.all<Agent::RenewLease>()[0].request.wants.empty());
  bench.at(4100ms, Agent::LeaseRenewed{});
  bench.at(5s, Agent::Renewed{false, Instant{7 * 24h}});
  CHECK(bench.agent->reason(base) == "waiting-for-lease");
}

TEST_CASE("agent: synchronization comes by interval and on request, never beside an apply",
          "[node]") {
  Bench bench;
  bench.applying();
  bench.at(4s, Agent::SyncRequested{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(5s, Agent::Applied{1});
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  CHECK(bench.all<Agent::Sync>()[0].reason == "request");
  bench.at(6s, Agent::SyncEnded{});
  bench.at(6s + 59min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(6s + 60min, Agent::Tick{});
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  CHECK(bench.all<Agent::Sync>()[0].reason == "interval");
}

TEST_CASE("agent: after a restart it goes on with the target it had", "[node]") {
  Bench bench;
  bench.memory.target = bench.target(3, {base});
  bench.start();
  bench.at(0s, Agent::Tick{});
  CHECK(bench.all<Agent::Poll>()[0].request.target_sequence == 3);
  bench.at(1s, Bench::assigned());
  CHECK(bench.all<Agent::FetchRecords>().size() == 1);
}

TEST_CASE("agent: after a restart without the origin it shares with the site it was in", "[node]") {
  Bench bench;
  const wire::Peer peer{other, "10.0.0.2", 8444, std::nullopt};
  bench.memory.site = {peer};
  bench.memory.target = bench.target(3, {base});
  bench.start();
  bench.at(0s, Agent::Tick{});
  REQUIRE(bench.all<Agent::MeetPeers>().size() == 1);
  CHECK(bench.all<Agent::MeetPeers>()[0].peers == std::vector{peer});
  CHECK(bench.all<Agent::FetchRecords>().size() == 1);
  bench.at(1s, Agent::RecordsFetched{base, 100_MiB});
  CHECK(bench.all<Agent::Join>().size() == 1);
  bench.at(20s, Agent::PollFailed{Agent::PollKind::waiting, 0});
  CHECK(bench.all<Agent::MeetPeers>().empty());
  CHECK(bench.agent->reason(base) == "lan-peer");
  bench.at(30s, Agent::LayerComplete{base});
  bench.at(31s, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Apply>().size() == 1);
}

TEST_CASE("agent: peers that the site finds count while the origin does not answer", "[node]") {
  Bench bench;
  const wire::Peer before{other, "10.0.0.2", 8444, std::nullopt};
  const wire::Peer after{other, "10.0.0.3", 8444, std::nullopt};
  bench.memory.site = {before};
  bench.start();
  bench.at(0s, Agent::PeersFound{{after}});
  REQUIRE(bench.all<Agent::MeetPeers>().size() == 2);
  CHECK(bench.all<Agent::MeetPeers>()[1].peers == std::vector{after});

  auto polled = Bench::assigned();
  polled.reply.site = wire::SiteView{.name = "s", .version = 1, .peers = {before}};
  bench.at(1s, polled);
  REQUIRE(bench.all<Agent::MeetPeers>().size() == 1);
  bench.at(2s, Agent::PeersFound{{after}});
  CHECK(bench.all<Agent::MeetPeers>().empty());
}

TEST_CASE("agent: a device in no site any more meets nobody and gives the lease up", "[node]") {
  Bench bench;
  bench.fetching();
  auto polled = Bench::leased(1);
  polled.reply.site->peers = {{other, "10.0.0.2", 8444, std::nullopt}};
  bench.at(3s, polled);
  CHECK(bench.agent->leads());
  bench.at(4s, Agent::Polled{});
  REQUIRE(bench.all<Agent::MeetPeers>().size() == 1);
  CHECK(bench.all<Agent::MeetPeers>()[0].peers.empty());
  CHECK(bench.all<Agent::Resign>().size() == 1);
  CHECK(bench.agent->reason(base) == "waiting-for-site");
}

TEST_CASE("agent: without a budget the line is left to the site's holder", "[node]") {
  Bench bench;
  bench.fetching_with(format::WanBudget::never, 0);
  bench.at(24h, Agent::Tick{});
  CHECK(bench.all<Agent::AskBudget>().empty());
  CHECK(bench.agent->reason(base) == "waiting-for-lease");
  auto polled = Bench::leased(1, other);
  bench.at(24h, polled);
  CHECK(bench.agent->reason(base) == "lan-peer");
  polled.reply.lease.reset();
  polled.reply.site->version = 2;
  polled.reply.site->appoint = false;
  bench.at(24h, polled);
  CHECK(bench.agent->reason(base) == "waiting-for-reflector");
}

TEST_CASE("agent: a budget of time is used when its time has come", "[node]") {
  Bench bench;
  bench.fetching_with(format::WanBudget::after, 60);
  CHECK(bench.agent->next_change() == Instant{61s});
  bench.at(60s, Agent::Tick{});
  CHECK(bench.all<Agent::AskBudget>().empty());
  bench.at(61s, Agent::Tick{});
  REQUIRE(bench.all<Agent::AskBudget>().size() == 1);
  CHECK(bench.all<Agent::AskBudget>()[0].request.target_sequence == 1);
  bench.at(62s, bench.granted(1));
  REQUIRE(bench.all<Agent::Lead>().size() == 1);
  CHECK(bench.all<Agent::Lead>()[0].by_budget);
  CHECK_FALSE(bench.all<Agent::Lead>()[0].most);
  CHECK(bench.agent->reason(base) == "origin-by-budget");
  CHECK_FALSE(bench.agent->leads());
  bench.at(63s, Agent::Tick{});
  CHECK(bench.all<Agent::AskBudget>().size() == 1);  // Renewed each second.

  SECTION("until the layer is there") {
    bench.at(63s, Agent::LayerComplete{base});
    CHECK(bench.all<Agent::Resign>().size() == 1);
    bench.at(64s, bench.granted(1));  // It was under way.
    CHECK(bench.all<Agent::Lead>().empty());
  }
  SECTION("until the site's lease comes, whatever its epoch") {
    bench.at(63s, Bench::leased(1));
    CHECK(bench.all<Agent::Resign>().size() == 1);
    REQUIRE(bench.all<Agent::Lead>().size() == 1);
    CHECK_FALSE(bench.all<Agent::Lead>()[0].by_budget);
    bench.at(63s, bench.granted(1));
    CHECK(bench.all<Agent::Lead>().empty());
  }
  SECTION("until the origin is silent for longer than it lasts") {
    bench.at(64s, Agent::BudgetFailed{0});
    bench.at(70s, Agent::Tick{});
    CHECK(bench.all<Agent::Resign>().size() == 1);
  }
}

TEST_CASE("agent: a budget of bytes is used when the site has no holder, and no further",
          "[node]") {
  Bench bench;
  bench.fetching_with(format::WanBudget::up_to, 10'000'000);
  bench.at(10s, Agent::Tick{});
  CHECK(bench.all<Agent::AskBudget>().empty());
  SECTION("a holder comes in time") {
    bench.at(10s, Bench::leased(1, other));
    bench.at(1h, Agent::Tick{});
    CHECK(bench.all<Agent::AskBudget>().empty());
  }
  SECTION("none comes") {
    bench.at(11s, Agent::Tick{});
    REQUIRE(bench.all<Agent::AskBudget>().size() == 1);
    bench.at(11s, bench.granted(1));
    REQUIRE(bench.all<Agent::Lead>().size() == 1);
    CHECK(bench.all<Agent::Lead>()[0].most == Bytes{10'000'000});
    bench.at(12s, Agent::BudgetSpent{Bytes{4'000'000}});
    bench.at(12s, bench.granted(1));
    CHECK(bench.all<Agent::Lead>()[0].most == Bytes{6'000'000});
    bench.at(13s, Agent::BudgetSpent{Bytes{10'100'000}});
    CHECK(bench.all<Agent::Resign>().size() == 1);
    CHECK(bench.agent->reason(base) == "waiting-for-budget");
    bench.at(2h, Agent::Tick{});
    CHECK(bench.all<Agent::AskBudget>().empty());
    // A new target brings a new budget.
    bench.at(2h, Bench::assigned(bench.target(2, {base}, me, format::WanBudget::up_to, 1000)));
    bench.at(2h + 10s, Agent::Tick{});
    CHECK(bench.all<Agent::AskBudget>().size() == 1);
  }
}

TEST_CASE("agent: ranges over the API's port are a reason of their own, and told", "[node]") {
  Bench bench;
  bench.fetching();
  Agent::Polled leased = Bench::leased(1);
  leased.kind = Agent::PollKind::quick;
  bench.at(3s, leased);
  CHECK(bench.agent->reason(base) == "origin-by-lease");
  bench.at(4s, Agent::WanTransportChanged{true});
  CHECK(bench.agent->reason(base) == "origin-by-https");
  const auto polls = bench.all<Agent::Poll>();
  REQUIRE(polls.size() == 1);
  REQUIRE(polls[0].request.layers);
  CHECK(polls[0].request.layers->at(0).reason == "origin-by-https");
  bench.at(5s, Agent::WanTransportChanged{false});
  CHECK(bench.agent->reason(base) == "origin-by-lease");
  bench.at(6s, Agent::WanTransportChanged{true});
  bench.at(7s, Agent::LayerComplete{base});
  CHECK(bench.agent->reason(base) == "local-cache");
}

TEST_CASE("agent: the site's rule about the line is followed at once, and is the reason",
          "[node]") {
  using Kind = policy::WanTransport::Kind;
  Bench bench;
  const auto hears = [&](Duration t, std::uint64_t version, std::optional<std::string> rule) {
    Agent::Polled polled = Bench::leased(version);
    polled.kind = Agent::PollKind::quick;
    polled.reply.site->transport = std::move(rule);
    bench.at(t, polled);
  };
  SECTION("of the site") {
    bench.fetching();
    hears(3s, 1, "https");
    auto used = bench.all<Agent::UseTransport>();
    REQUIRE(used.size() == 1);
    CHECK(used[0].only == Kind::https);
    bench.at(4s, Agent::WanTransportChanged{true});
    CHECK(bench.agent->reason(base) == "https-by-rule");
    hears(5s, 2, "https");
    CHECK(bench.all<Agent::UseTransport>().empty());
    hears(6s, 3, "swarm");
    CHECK(bench.all<Agent::UseTransport>().size() == 1);
    bench.at(6s, Agent::WanTransportChanged{false});
    CHECK(bench.agent->reason(base) == "swarm-by-rule");
    // Of a later origin, or of one that has none: as the device finds out.
    hears(7s, 4, "by-pigeon");
    used = bench.all<Agent::UseTransport>();
    REQUIRE(used.size() == 1);
    CHECK_FALSE(used[0].only);
    CHECK(bench.agent->reason(base) == "origin-by-lease");
    hears(8s, 5, std::nullopt);
    CHECK(bench.all<Agent::UseTransport>().empty());
  }
  SECTION("the device's own comes first") {
    Agent::Limits limits;
    limits.transport = Kind::swarm;
    bench.agent.emplace(limits, bench.memory, "test", Instant{});
    bench.fetching();
    hears(3s, 1, "https");
    CHECK(bench.all<Agent::UseTransport>().empty());
    CHECK(bench.agent->reason(base) == "swarm-by-rule");
  }
}

TEST_CASE("agent: a refused budget is asked for again, ever more rarely", "[node]") {
  Bench bench;
  bench.fetching_with(format::WanBudget::after, 1);
  bench.at(2s, Agent::Tick{});
  REQUIRE(bench.all<Agent::AskBudget>().size() == 1);
  bench.at(3s, Agent::BudgetFailed{0});
  CHECK(bench.all<Agent::AskBudget>().empty());
  bench.at(10s, Agent::Tick{});
  CHECK(bench.all<Agent::AskBudget>().size() == 1);
}

TEST_CASE("agent: what a rule forbids is not fetched over the line, and said so", "[node]") {
  Bench bench;
  bench.fetching();
  const auto quickly = [](Agent::Polled polled) {
    polled.kind = Agent::PollKind::quick;
    return polled;
  };
  bench.at(3s, quickly(Bench::leased(1)));
  REQUIRE(bench.all<Agent::Lead>().size() == 1);

  bench.at(4s, Agent::RuleChanged{.no_download = true});
  CHECK(bench.all<Agent::Resign>().size() == 1);
  CHECK(bench.agent->reason(base) == "waiting-for-rule");
  // The origin hears at once that it may lease to another device, and what this one lacks all the
  // same.
  const auto told = bench.all<Agent::Poll>();
  REQUIRE(told.size() == 1);
  CHECK(told[0].request.wants.empty());
  CHECK(told[0].request.layers->at(0).reason == "waiting-for-rule");
  CHECK(told[0].request.layers->at(0).missing_bytes == (100_MiB).count);

  bench.at(5s, quickly(Bench::leased(1)));  // Sent before the origin heard it.
  CHECK(bench.all<Agent::Lead>().empty());
  CHECK_FALSE(bench.agent->leads());
  bench.at(6s, Bench::leased(2, other));
  CHECK(bench.agent->reason(base) == "lan-peer");

  bench.at(7s, Agent::RuleChanged{});
  const auto again = bench.all<Agent::Poll>();
  REQUIRE_FALSE(again.empty());
  CHECK(again[0].request.wants == std::vector<wire::Want>{{base, (100_MiB).count}});
  bench.at(8s, Bench::leased(3));
  CHECK(bench.all<Agent::Lead>().size() == 1);
}

TEST_CASE("agent: a rule goes before a WAN budget", "[node]") {
  Bench bench;
  bench.fetching_with(format::WanBudget::up_to, 1'000'000);
  bench.at(11s, Agent::Tick{});
  REQUIRE(bench.all<Agent::AskBudget>().size() == 1);
  bench.at(12s, Agent::RuleChanged{.no_download = true});
  bench.at(13s, bench.granted(1));  // Asked for before.
  CHECK(bench.all<Agent::Lead>().empty());
  bench.at(60s, Agent::Tick{});
  CHECK(bench.all<Agent::AskBudget>().empty());
  CHECK(bench.agent->reason(base) == "waiting-for-rule");

  // The site has its ten seconds to find a holder, as ever.
  bench.at(61s, Agent::RuleChanged{});
  CHECK(bench.all<Agent::AskBudget>().empty());
  bench.at(71s, Agent::Tick{});
  REQUIRE(bench.all<Agent::AskBudget>().size() == 1);
  bench.at(72s, bench.granted(1));
  REQUIRE(bench.all<Agent::Lead>().size() == 1);
  bench.at(73s, Agent::RuleChanged{.no_download = true});
  CHECK(bench.all<Agent::Resign>().size() == 1);
}

TEST_CASE("agent: while a rule lets nothing be sent, snapshots wait and an apply does not",
          "[node]") {
  Bench bench;
  bench.at(0s, Agent::RuleChanged{.no_upload = true});
  bench.at(1s, Bench::assigned(bench.target(1, {base})));
  bench.at(2s, Agent::RecordsFetched{base, 100_MiB});
  bench.at(3s, Agent::LayerComplete{base});
  CHECK(bench.all<Agent::Sync>().empty());
  CHECK(bench.all<Agent::Apply>().size() == 1);
  bench.at(4s, Agent::Applied{1});

  bench.at(2h, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  CHECK(bench.agent->next_change() > Instant{2h});  // Nobody spins for it.
  bench.at(3h, Agent::RuleChanged{});
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  CHECK(bench.all<Agent::Sync>()[0].reason == "interval");

  // One that the rule cuts short is made up for when the rule ends, not an hour later.
  bench.at(3h + 1s, Agent::RuleChanged{.no_upload = true});
  bench.at(3h + 2s, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(3h + 10min, Agent::RuleChanged{});
  CHECK(bench.all<Agent::Sync>().size() == 1);
}

TEST_CASE("agent: staged layers are fetched and held, and not applied", "[node]") {
  Bench bench;
  bench.memory.applied = {base};
  bench.memory.applied_sequence = 1;
  bench.memory.target = bench.target(1, {base});
  bench.start();
  bench.at(0s, Agent::Tick{});
  bench.at(1s, bench.assigned(bench.target(2, {base}, me, format::WanBudget::never, 0, {app})));
  CHECK(bench.agent->layers().size() == 2);
  bench.at(2s, Agent::RecordsFetched{app, 5_MiB});
  CHECK(bench.all<Agent::Join>().size() == 1);
  bench.at(3s, Agent::LayerComplete{app});
  bench.at(3s, Agent::RecordsFetched{base, Bytes{}});
  bench.at(3s, Agent::LayerComplete{base});
  CHECK(bench.agent->reason(app) == "local-cache");
  CHECK(bench.all<Agent::Sync>().empty());
  CHECK(bench.all<Agent::Apply>().empty());
  // The wave begins: the same layers, now to be applied.
  bench.at(4s, bench.assigned(bench.target(3, {base, app})));
  CHECK(bench.all<Agent::Leave>().empty());
  CHECK(bench.all<Agent::Sync>().size() == 1);
  bench.at(5s, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Apply>().size() == 1);
}

TEST_CASE("agent: a stack that is still to be applied does not wait for what is staged", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  bench.at(1s, bench.assigned(bench.target(2, {base}, me, format::WanBudget::never, 0, {app})));
  bench.at(2s, Agent::RecordsFetched{base, 1_MiB});
  bench.at(3s, Agent::LayerComplete{base});
  CHECK(bench.all<Agent::Sync>().size() == 1);
}

TEST_CASE("agent: staging does not bring back a stack that was undone", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  bench.at(1s, bench.assigned(bench.target(1, {base})));
  bench.at(2s, Agent::RecordsFetched{base, Bytes{}});
  bench.at(2s, Agent::LayerComplete{base});
  bench.at(3s, Agent::SyncEnded{});
  bench.at(4s, Agent::Applied{1});
  bench.at(5s, Agent::Reverted{{}});
  bench.at(6s, bench.assigned(bench.target(2, {base}, me, format::WanBudget::never, 0, {app})));
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(7s, bench.assigned(bench.target(3, {base})));
  CHECK(bench.all<Agent::Sync>().size() == 1);
}

TEST_CASE("agent: layers that the origin withholds wait for admission", "[node]") {
  Bench bench;
  bench.fetching();
  auto polled = Bench::assigned();
  polled.reply.site = wire::SiteView{.name = "s", .version = 5, .peers = {}};
  polled.reply.site->withheld = {base};
  bench.at(3s, polled);
  CHECK(bench.agent->reason(base) == "waiting-for-admission");
  bench.at(4s, Bench::leased(6, other));
  CHECK(bench.agent->reason(base) == "lan-peer");
  polled.reply.site = wire::SiteView{.name = "s", .version = 7, .peers = {}};
  bench.at(5s, polled);
  CHECK(bench.agent->reason(base) == "waiting-for-lease");
}

TEST_CASE("agent: a device that becomes unfit to serve says so at once, and once", "[node]") {
  Bench bench;
  bench.fetching();
  auto heard = Bench::assigned();
  heard.kind = Agent::PollKind::quick;
  bench.at(3s, heard);
  bench.at(4s, Agent::Looked{"on-battery"});
  auto polls = bench.all<Agent::Poll>();
  REQUIRE(polls.size() == 1);
  CHECK(polls[0].request.unfit == "on-battery");
  bench.at(5s, Agent::Polled{.kind = polls[0].kind, .reply = Bench::assigned().reply});
  bench.at(6s, Agent::Looked{"on-battery"});
  CHECK(bench.all<Agent::Poll>().empty());
  bench.at(7s, Agent::Looked{std::nullopt});
  polls = bench.all<Agent::Poll>();
  REQUIRE(polls.size() == 1);
  CHECK_FALSE(polls[0].request.unfit);
}

TEST_CASE("agent: a suspended device gives the line up, and waits for its site", "[node]") {
  Bench bench;
  bench.fetching();
  bench.at(3s, Bench::leased(1));
  REQUIRE(bench.agent->leads());
  bench.at(4s, Agent::Settled{policy::duties_of(policy::ReflectorMode::suspended)});
  CHECK(bench.all<Agent::Resign>().size() == 1);
  CHECK_FALSE(bench.agent->leads());
  CHECK(bench.agent->reason(base) == "waiting-for-resume");
  bench.at(4s, Bench::leased(1));  // An answer from before.
  CHECK(bench.all<Agent::Lead>().empty());
  // What another one fetches comes over the LAN.
  bench.at(5s, Bench::leased(2, other));
  CHECK(bench.agent->reason(base) == "lan-peer");
  bench.at(6s, Agent::Settled{policy::duties_of(policy::ReflectorMode::active)});
  bench.at(7s, Bench::leased(3));
  CHECK(bench.all<Agent::Lead>().size() == 1);
}

TEST_CASE("agent: a budget is used by a disabled device, not by a suspended one", "[node]") {
  const auto mode = GENERATE(policy::ReflectorMode::suspended, policy::ReflectorMode::disabled);
  Bench bench;
  bench.fetching_with(format::WanBudget::after, 10);
  bench.at(2s, Agent::Settled{policy::duties_of(mode)});
  bench.at(20s, Agent::Tick{});
  const bool may = mode == policy::ReflectorMode::disabled;
  CHECK(bench.all<Agent::AskBudget>().size() == (may ? 1 : 0));
  if (!may) return;
  bench.at(21s, bench.granted(1));
  REQUIRE(bench.all<Agent::Lead>().size() == 1);
  bench.at(22s, Agent::Settled{policy::duties_of(policy::ReflectorMode::suspended)});
  CHECK(bench.all<Agent::Resign>().size() == 1);
}

TEST_CASE("agent: told to hurry, it tries now what waits for its next try", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  bench.at(1s, Bench::assigned(bench.target(1, {base})));
  bench.at(2s, Agent::RecordsFailed{base, ~std::uint64_t{0}});
  bench.at(2s, Agent::Tick{});
  REQUIRE(bench.all<Agent::FetchRecords>().empty());
  bench.at(2s, Agent::Hurry{});
  CHECK(bench.all<Agent::FetchRecords>().size() == 1);
}

TEST_CASE("agent: the policy's interval counts, from when the one before began", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  bench.at(1s, Bench::assigned());
  bench.at(2s, Agent::IntervalChanged{20min});
  CHECK(bench.agent->sync_interval() == 20min);
  bench.at(19min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(20min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().size() == 1);
  bench.at(21min, Agent::SyncEnded{});
  bench.at(30min, Agent::IntervalChanged{std::nullopt});
  bench.at(80min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(81min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().size() == 1);
  bench.at(82min, Agent::SyncEnded{});
  // A shorter one may be over already.
  bench.at(100min, Agent::IntervalChanged{5min});
  CHECK(bench.all<Agent::Sync>().size() == 1);
}

TEST_CASE("agent: a snooze puts off and stops what nobody asked for, and nothing else", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  bench.at(1s, Bench::assigned());
  bench.at(50min, Agent::Snoozed{30min});
  bench.at(60min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  CHECK(*bench.agent->next_change() <= Instant{80min});
  bench.at(61min, Agent::SyncRequested{});
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  CHECK(bench.all<Agent::Sync>()[0].reason == "request");
  bench.at(62min, Agent::Snoozed{30min});
  CHECK(bench.all<Agent::StopSync>().empty());
  bench.at(63min, Agent::SyncEnded{});
  // Over: the interval since then is not.
  bench.at(92min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(123min, Agent::Tick{});
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  CHECK(bench.all<Agent::Sync>()[0].reason == "interval");
  bench.at(124min, Agent::Snoozed{10min});
  REQUIRE(bench.all<Agent::StopSync>().size() == 1);
  bench.at(124min, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(133min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  // What was cut short goes on when it is over, or is ended.
  bench.at(134min, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().size() == 1);
  bench.at(135min, Agent::Snoozed{60min});
  bench.at(135min, Agent::SyncEnded{});
  bench.at(136min, Agent::Snoozed{0min});
  CHECK(bench.all<Agent::Sync>().size() == 1);
}

TEST_CASE("agent: no snapshot is made while the origin takes none, and at once when it does",
          "[node]") {
  Bench bench;
  auto waits = Bench::assigned();
  waits.reply.uploads_wait = "quota: full";
  bench.at(0s, Agent::Tick{});
  bench.at(1s, waits);
  CHECK(bench.agent->uploads_wait() == "quota: full");
  // It says that it heard of it.
  REQUIRE_FALSE(bench.all<Agent::Poll>().empty());
  CHECK(bench.all<Agent::Poll>().back().request.uploads_wait == true);
  bench.at(2h, Agent::Tick{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(2h + 1s, Agent::SyncRequested{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(2h + 2s, Bench::assigned());
  CHECK_FALSE(bench.agent->uploads_wait());
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  // One that was cut short goes on when it may, not an interval later.
  bench.at(2h + 3s, waits);
  bench.at(2h + 4s, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Sync>().empty());
  bench.at(2h + 5s, Bench::assigned());
  CHECK(bench.all<Agent::Sync>().size() == 1);
}

TEST_CASE("agent: an apply does not wait for an origin that takes no snapshots", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Tick{});
  auto waits = Bench::assigned(bench.target(1, {base}));
  waits.reply.uploads_wait = "archived";
  bench.at(1s, waits);
  bench.at(2s, Agent::RecordsFetched{base, 100_MiB});
  bench.at(3s, Agent::LayerComplete{base});
  CHECK(bench.all<Agent::Sync>().empty());
  CHECK(bench.all<Agent::Apply>().size() == 1);
}

TEST_CASE("agent: an apply and its snapshot do not wait for a snooze", "[node]") {
  Bench bench;
  bench.at(0s, Agent::Snoozed{10h});
  bench.fetching();
  bench.at(3s, Agent::LayerComplete{base});
  REQUIRE(bench.all<Agent::Sync>().size() == 1);
  CHECK(bench.all<Agent::Sync>()[0].reason == "before-apply");
  bench.at(4s, Agent::Snoozed{10h});
  CHECK(bench.all<Agent::StopSync>().empty());
  bench.at(5s, Agent::SyncEnded{});
  CHECK(bench.all<Agent::Apply>().size() == 1);
}
