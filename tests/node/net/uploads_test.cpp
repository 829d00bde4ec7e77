// A device's snapshot on its way through a relay: handed over, settled, lost, overtaken.
#include "node/net/uploads.hpp"

#include "shared/store/pack_writer.hpp"
#include "tests/node/net/relay_site.hpp"
#include "tests/node/net/scripted_worker.hpp"
#include "tests/support/content.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace lamina::tests;
using namespace std::chrono_literals;
using Kind = WorkerRequest::Kind;
using Calls = std::vector<std::string>;

namespace {

struct Bench : RelaySite {
  explicit Bench(std::size_t chunk_bytes = 300'000) {
    const auto files = PackFiles::open(ann.state.spool(), PackFiles::Access::write).value();
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& summary) -> Status {
      pack = summary.id;
      return Done{};
    });
    const Buffer chunk = noise(chunk_bytes, 1);
    REQUIRE(writer.add(ref_of(chunk), chunk, ContentClass::data));
    REQUIRE(writer.finish());
    REQUIRE(os::write_file(ann.state.spool() + "/snapshot", record));
    worker.emplace(ann.state, pack, snapshot);
    relay = open_relay(bob, relay_options);
    relay->meet({ann.peer()});
    open_uploads();
    uploads->set_line(true, false);
    poll("");
  }

  void open_uploads() {
    uploads.reset();
    uploads = Uploads::open(loop, ann.state, ann.id, *ann.link, worker_link,
                            {.relay = std::nullopt, .handed = limits},
                            {.changed = [this] { ++polls_wanted; }, .lost = [this] { ++losses; }});
    uploads->use_identity();
  }

  // What the origin answers to a poll; `handed`: about the snapshot at the site.
  void poll(const std::string& handed, bool lists_relay = true) {
    wire::PollReply reply;
    reply.status = wire::DeviceStatus::assigned;
    reply.relay_key = to_buffer(origin_key.public_key().bytes());
    reply.site = wire::SiteView{.name = "north", .version = ++version, .peers = {}};
    if (lists_relay) reply.site->peers = {bob.peer(relay ? relay->port() : std::uint16_t{1})};
    reply.lease = wire::LeaseView{.holder = bob.id, .epoch = 1, .token = {}};
    if (!handed.empty()) reply.handed = handed;
    uploads->heard(reply);
  }

  Result<SyncFigures> sync() {
    std::optional<Result<SyncFigures>> result;
    Synchronization synchronization(
        loop, worker_link, *ann.link, *uploads, ann.state, "test",
        {.backoff = {.first = 1ms, .longest = 2ms}, .failures_max = 3},
        [&](Result<SyncFigures> figures) { result = std::move(figures); });
    run_until([&] { return result.has_value(); });
    return std::move(*result);
  }

  // Whatever is posted to the loop has happened.
  void settle_loop() {
    bool done = false;
    loop.post([&] { done = true; });
    run_until([&] { return done; });
  }
  std::optional<wire::HandedSnapshot> handed() const {
    wire::PollRequest request;
    uploads->add_to(request);
    return request.handed;
  }

  SiteDevice ann = make_device(1);
  SiteDevice bob = make_device(2);
  Relay::Options relay_options;
  policy::HandedLimits limits;
  WorkerLink worker_link{loop, ann.state.worker_socket()};
  std::optional<ScriptedWorker> worker;
  std::unique_ptr<Relay> relay;
  std::unique_ptr<Uploads> uploads;
  PackId pack;
  const Buffer record = to_buffer("a record");
  const SnapshotId snapshot = format::snapshot_id(record);
  std::uint64_t version = 0;
  int polls_wanted = 0;
  int losses = 0;
};

}  // namespace

TEST_CASE("uploads: a snapshot is handed over, told to the origin, and settled", "[node]") {
  Bench bench;
  const auto figures = bench.sync();
  REQUIRE(figures);
  CHECK(figures->relay == bench.bob.id);
  CHECK(figures->snapshot == bench.snapshot);
  CHECK(figures->parcels_handed == 2);
  CHECK(figures->bytes_handed == bench.relay->held());
  CHECK(figures->packs_sent == 0);
  CHECK(bench.calls == Calls{"lacks"});
  CHECK(bench.polls_wanted == 1);
  REQUIRE(bench.handed());
  CHECK(bench.handed()->snapshot == bench.snapshot);
  CHECK(bench.handed()->sequence == 1);
  CHECK(read_last_snapshot(bench.ann.state).sequence == 0);
  CHECK(bench.uploads->sequence_after(0) == 2);

  // It may be off meanwhile.
  bench.open_uploads();
  REQUIRE(bench.handed());
  CHECK(bench.handed()->snapshot == bench.snapshot);
  bench.poll("at the site");
  CHECK(bench.uploads->at_site()->state == "at the site");
  int settled = 0;
  bench.uploads->when_settled([&](const Status& done) { settled += done ? 1 : 100; });
  CHECK(settled == 0);
  bench.poll("protected");
  CHECK(settled == 1);
  CHECK_FALSE(bench.handed());
  CHECK(bench.losses == 0);
  CHECK(read_last_snapshot(bench.ann.state).id == bench.snapshot);
  CHECK(read_last_snapshot(bench.ann.state).sequence == 1);
  bench.settle_loop();
  const auto& heard = bench.worker->stop();
  REQUIRE(heard.size() == 4);
  CHECK(heard[0].sequence == 1);
  CHECK(heard[2].kind == Kind::held);
  CHECK(heard[3].kind == Kind::settle);
  CHECK(heard[3].snapshot == bench.snapshot);
}

TEST_CASE("uploads: what got lost at the site is sent again, to the origin", "[node]") {
  Bench bench;
  bench.limits.unlisted_max = {};
  bench.open_uploads();
  bench.uploads->set_line(true, false);
  bench.poll("");
  REQUIRE(bench.sync());
  bench.relay.reset();  // It dies, and its disk with it.
  int settled = 0;
  bench.uploads->when_settled([&](const Status& done) { settled += done ? 1 : 100; });
  SECTION("nobody lists it any more") { bench.poll("unknown"); }
  SECTION("the origin could not keep it") { bench.poll("refused"); }
  CHECK(bench.losses == 1);
  CHECK(settled == 100);
  CHECK_FALSE(bench.handed());
  bench.calls.clear();
  const auto again = bench.sync();
  REQUIRE(again);
  CHECK(again->relay.is_none());
  CHECK(bench.calls == Calls{"lacks", "pack", "snapshots"});
  CHECK(read_last_snapshot(bench.ann.state).sequence == 2);
  CHECK(bench.worker->stop().at(3).sequence == 2);
}

TEST_CASE("uploads: it waits for a relay that is silent for a moment", "[node]") {
  Bench bench;
  REQUIRE(bench.sync());
  bench.poll("unknown");
  bench.poll("at the site");
  bench.poll("unknown");
  CHECK(bench.losses == 0);
  CHECK(bench.handed());
}

TEST_CASE("uploads: a relay that refuses or is gone costs nothing but the try", "[node]") {
  Bench bench;
  SECTION("full") {
    bench.bob.state = StateDirectory(bench.scratch / "full");
    REQUIRE(bench.bob.state.prepare({::geteuid(), ::getegid(), ""}));
    bench.relay =
        bench.open_relay(bench.bob, {.listen_address = {}, .limits = {.total_max = 1_KiB}});
    bench.relay->meet({bench.ann.peer()});
  }
  SECTION("gone") { bench.relay.reset(); }
  bench.poll("");
  const auto figures = bench.sync();
  REQUIRE(figures);
  CHECK(figures->relay.is_none());
  CHECK(bench.calls == Calls{"lacks", "pack", "snapshots"});
  CHECK(bench.worker->stop().size() == 3);  // One scan.
  // It is not asked again for a while.
  CHECK(bench.uploads->relay_for(16_MiB, 2) == nullptr);
}

TEST_CASE("uploads: a relay that dies on the way: once more, to the origin", "[node]") {
  Bench bench;
  // Room for the pack, none for the record.
  bench.relay.reset();
  bench.relay =
      bench.open_relay(bench.bob, {.listen_address = {}, .limits = {.device_max = Bytes{300'700}}});
  bench.relay->meet({bench.ann.peer()});
  bench.poll("");
  const auto figures = bench.sync();
  REQUIRE(figures);
  CHECK(figures->relay.is_none());
  CHECK(bench.calls == Calls{"lacks", "lacks", "pack", "snapshots"});
  CHECK_FALSE(bench.handed());
  const auto& heard = bench.worker->stop();
  CHECK(heard[2].kind == Kind::abandon);
  CHECK_FALSE(heard[3].full);
  CHECK(heard[3].sequence == 2);
  CHECK(heard[5].kind == Kind::committed);
}

TEST_CASE("uploads: a little goes to the origin at once", "[node]") {
  Bench bench(20'000);
  const auto figures = bench.sync();
  REQUIRE(figures);
  CHECK(figures->relay.is_none());
  CHECK(bench.calls == Calls{"lacks", "pack", "snapshots"});
}

TEST_CASE("uploads: with the line down everything goes to the relay, unasked", "[node]") {
  Bench bench(20'000);
  bench.uploads->set_line(false, false);
  const auto figures = bench.sync();
  REQUIRE(figures);
  CHECK(figures->relay == bench.bob.id);
  CHECK(bench.calls.empty());
  CHECK(bench.handed());
}

TEST_CASE("uploads: a snapshot made meanwhile goes to the origin and overtakes", "[node]") {
  Bench bench;
  REQUIRE(bench.sync());
  int settled = 0;
  bench.uploads->when_settled([&](const Status& done) { settled += done ? 1 : 100; });
  bench.calls.clear();
  const auto figures = bench.sync();
  REQUIRE(figures);
  CHECK(figures->relay.is_none());
  CHECK(bench.calls == Calls{"lacks", "pack", "snapshots"});
  CHECK(settled == 1);
  CHECK_FALSE(bench.handed());
  CHECK(read_last_snapshot(bench.ann.state).sequence == 2);
  bench.poll("unknown");
  CHECK(bench.losses == 0);
}

TEST_CASE("uploads: a broken note of what is at the site is none", "[node]") {
  Bench bench;
  for (const char* text : {"", "[]", "{\"sequence\":-1,\"snapshot\":5}", "{\"snapshot\":\"ab\"}"}) {
    CAPTURE(text);
    REQUIRE(os::write_file(bench.ann.state.net() + "/handed.json", as_view(text)));
    bench.open_uploads();
    CHECK_FALSE(bench.handed());
    CHECK(bench.uploads->sequence_after(4) == 5);
  }
}
