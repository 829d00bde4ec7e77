// A synchronization between a worker that follows a script and an origin that answers over TLS.
#include "node/net/synchronization.hpp"

#include <catch2/catch.hpp>

#include "shared/net/certificates.hpp"
#include "shared/net/https_server.hpp"
#include "shared/store/pack_writer.hpp"
#include "shared/wire/ids.hpp"
#include "tests/node/net/scripted_worker.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace lamina::tests;
using namespace std::chrono_literals;
using Kind = WorkerRequest::Kind;

namespace {

// Everything goes to the origin.
struct NoWays : UploadWays {
  std::uint64_t sequence_after(std::uint64_t kept) const override { return kept + 1; }
  bool origin_reachable() const override { return true; }
  ParcelSender* relay_for(Bytes, std::uint64_t) override { return nullptr; }
  void relay_failed(const Error&) override {}
  Status handed(const SnapshotId&, std::uint64_t) override { return Done{}; }
  void kept(std::uint64_t) override {}
};

struct Bench {
  Bench() {
    REQUIRE(state.prepare({::geteuid(), ::getegid(), ""}));
    const auto files = PackFiles::open(state.spool(), PackFiles::Access::write).value();
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& summary) -> Status {
      pack = summary.id;
      return Done{};
    });
    for (const Buffer& chunk : {tests::noise(1000, 1), tests::noise(1000, 2)})
      REQUIRE(writer.add(tests::ref_of(chunk), chunk, ContentClass::data));
    REQUIRE(writer.finish());
    const Buffer record = to_buffer("a record");
    snapshot = format::snapshot_id(record);
    REQUIRE(os::write_file(state.spool() + "/snapshot", record));
    start_origin();
  }

  void start_origin() {
    const auto request = net::make_key_and_request().value();
    for (const auto& [path, text] :
         {std::pair{state.ca(), ca.certificate_pem}, std::pair{state.device_key(), request.key_pem},
          std::pair{state.device_certificate(),
                    net::issue_device_certificate(ca, request.csr_pem, {}).value()}})
      REQUIRE(os::write_file(path, as_view(text)));
    const auto certificate = net::issue_server_certificate(ca, {"127.0.0.1"}).value();
    server = net::HttpsServer::listen(
                 loop,
                 {.listen_address = "127.0.0.1",
                  .certificate_pem = certificate.certificate_pem,
                  .key_pem = certificate.key_pem,
                  .ca_pem = ca.certificate_pem,
                  .client_ca_pem = ca.certificate_pem,
                  .spool_directory = scratch.path()},
                 [this](net::Request asked, net::Responder responder) { answer(asked, responder); })
                 .value();
    link = OriginLink::open(loop, state,
                            {.origin_host = "127.0.0.1",
                             .origin_port = server->port(),
                             .device = {},
                             .volume = "/",
                             .user = {}})
               .value();
  }

  void answer(const net::Request& asked, const net::Responder& responder) {
    calls.push_back(asked.path.substr(0, asked.path.find_last_of('/')) == "/v1/node/cvd/packs"
                        ? "pack"
                        : asked.path.substr(asked.path.find_last_of('/') + 1));
    if (broken_calls > 0) {
      --broken_calls;
      return responder.reply(net::error_response(Error(ErrorKind::unavailable, "not now")));
    }
    if (calls.back() == "pack" && refused_packs > 0) {
      --refused_packs;
      return responder.reply(
          net::error_response(Error(ErrorKind::corrupt, "a patch cannot be built")));
    }
    if (calls.back() == "lacks")
      return responder.reply(net::binary_response(has_chunks ? "" : asked.body));
    if (calls.back() == "snapshots" && incomplete_snapshots > 0) {
      --incomplete_snapshots;
      const Buffer lacking = wire::to_bytes({tests::ref_of(tests::noise(5, 5)).id});
      return responder.reply(net::binary_response(std::string(as_text(lacking)), 409));
    }
    responder.reply(net::json_response("{}", 201));
  }

  Result<SyncFigures> sync() {
    std::optional<Result<SyncFigures>> result;
    Synchronization synchronization(
        loop, worker, *link, ways, state, "test",
        {.backoff = {.first = 1ms, .longest = 2ms}, .failures_max = 3},
        [&](Result<SyncFigures> figures) { result = std::move(figures); });
    loop.run_until([&] { return result.has_value(); });
    return std::move(*result);
  }

  tests::Scratch scratch;
  StateDirectory state{scratch / "state"};
  net::KeyAndCertificate ca = net::make_ca("test").value();
  net::Loop loop;
  WorkerLink worker{loop, state.worker_socket()};
  std::unique_ptr<net::HttpsServer> server;
  std::unique_ptr<OriginLink> link;
  NoWays ways;
  PackId pack;
  SnapshotId snapshot;

  std::vector<std::string> calls;
  bool has_chunks = false;
  int broken_calls = 0;
  int incomplete_snapshots = 0;
  int refused_packs = 0;
};

using Calls = std::vector<std::string>;

}  // namespace

TEST_CASE("synchronization: packs first, then the snapshot, which the next one follows", "[node]") {
  Bench bench;
  ScriptedWorker worker(bench.state, bench.pack, bench.snapshot);
  const auto first = bench.sync();
  REQUIRE(first);
  CHECK(first->snapshot == bench.snapshot);
  CHECK(first->files_read == 7);
  CHECK(first->packs_sent == 1);
  CHECK(first->bytes_sent.count > 2000);
  CHECK(bench.calls == Calls{"lacks", "pack", "snapshots"});
  CHECK(read_last_snapshot(bench.state).sequence == 1);
  CHECK(worker.heard[0].sequence == 1);
  CHECK(worker.heard[0].parent.is_none());
  CHECK(worker.heard[2].kind == Kind::committed);

  bench.has_chunks = true;
  REQUIRE(bench.sync());
  CHECK(bench.calls == Calls{"lacks", "pack", "snapshots", "lacks", "snapshots"});
  CHECK(worker.heard[3].sequence == 2);
  CHECK(worker.heard[3].parent == bench.snapshot);
  CHECK_FALSE(worker.heard[3].full);
}

TEST_CASE("synchronization: when the origin lacks something, everything is scanned once",
          "[node]") {
  Bench bench;
  ScriptedWorker worker(bench.state, bench.pack, bench.snapshot);
  bench.incomplete_snapshots = 1;
  SECTION("and then it has it") {
    REQUIRE(bench.sync());
    CHECK(worker.heard[2].kind == Kind::abandon);
    CHECK(worker.heard[3].full);
    CHECK(worker.heard[5].kind == Kind::committed);
  }
  SECTION("and it lacks it still") {
    bench.incomplete_snapshots = 2;
    const auto failed = bench.sync();
    REQUIRE_FALSE(failed);
    CHECK(failed.error().kind() == ErrorKind::corrupt);
    CHECK(read_last_snapshot(bench.state).sequence == 0);
  }
}

TEST_CASE("synchronization: when the origin cannot build a patch, everything is scanned once",
          "[node]") {
  Bench bench;
  ScriptedWorker worker(bench.state, bench.pack, bench.snapshot);
  bench.refused_packs = 1;
  SECTION("and whole chunks are taken") {
    REQUIRE(bench.sync());
    CHECK(bench.calls == Calls{"lacks", "pack", "lacks", "pack", "snapshots"});
    CHECK(worker.heard[1].kind == Kind::abandon);
    CHECK(worker.heard[2].full);
  }
  SECTION("and it takes none of these either") {
    bench.refused_packs = 2;
    const auto failed = bench.sync();
    REQUIRE_FALSE(failed);
    CHECK(failed.error().kind() == ErrorKind::corrupt);
  }
}

TEST_CASE("synchronization: an origin that is away for a moment is asked again", "[node]") {
  Bench bench;
  ScriptedWorker worker(bench.state, bench.pack, bench.snapshot);
  SECTION("a moment") {
    bench.broken_calls = 2;
    REQUIRE(bench.sync());
    CHECK(bench.calls == Calls{"lacks", "lacks", "lacks", "pack", "snapshots"});
  }
  SECTION("longer: the scan is abandoned") {
    bench.broken_calls = 3;
    const auto failed = bench.sync();
    REQUIRE_FALSE(failed);
    CHECK(failed.error().kind() == ErrorKind::unavailable);
    CHECK(worker.heard.back().kind == Kind::abandon);
  }
}

TEST_CASE("synchronization: without a worker it fails and says how to start it", "[node]") {
  Bench bench;
  const auto failed = bench.sync();
  REQUIRE_FALSE(failed);
  CHECK(failed.error().kind() == ErrorKind::unavailable);
  CHECK_THAT(failed.error().text(), Catch::Contains("lamina-node worker"));
  CHECK(bench.calls.empty());
}

TEST_CASE("synchronization: it ends when a rule stops uploads, and sends no more", "[node]") {
  Bench bench;
  ScriptedWorker worker(bench.state, bench.pack, bench.snapshot);
  const auto is_stopped = [](const Result<SyncFigures>& done) {
    return !done && done.error().kind() == ErrorKind::unavailable &&
           done.error().text().find("bandwidth rule") != std::string::npos;
  };
  SECTION("before the pack") {
    bench.link->upload_pace().set(BitRate{0});
    CHECK(is_stopped(bench.sync()));
    CHECK(bench.calls.empty());
  }
  SECTION("in the middle of it") {
    bench.link->upload_pace().set(BitRate{8'000});  // The pack has more than 2000 bytes.
    const auto stop = bench.loop.after(100ms, [&] { bench.link->upload_pace().set(BitRate{0}); });
    CHECK(is_stopped(bench.sync()));
    CHECK(bench.calls == Calls{"lacks"});
  }
  CHECK(worker.heard.back().kind == Kind::abandon);
  bench.calls.clear();
  bench.link->upload_pace().set(std::nullopt);
  CHECK(bench.sync());
  CHECK(bench.calls == Calls{"lacks", "pack", "snapshots"});
}

TEST_CASE("synchronization: it can be stopped, and what waits for a try is not tried again",
          "[node]") {
  Bench bench;
  ScriptedWorker worker(bench.state, bench.pack, bench.snapshot);
  std::optional<Result<SyncFigures>> result;
  const auto begin = [&](Synchronization::Options options) {
    result.reset();
    return std::make_unique<Synchronization>(
        bench.loop, bench.worker, *bench.link, bench.ways, bench.state, "test", options,
        [&](Result<SyncFigures> figures) { result = std::move(figures); });
  };
  auto synchronization = begin({});
  synchronization->stop({ErrorKind::unavailable, "snoozed"});
  bench.loop.run_until([&] { return result.has_value(); });
  REQUIRE_FALSE(*result);
  CHECK(result->error().text() == "snoozed");
  CHECK(bench.calls.empty());

  bench.broken_calls = 1;
  synchronization = begin({.backoff = {.first = 1h, .longest = 2h}});
  bench.loop.run_until([&] { return !bench.calls.empty() && bench.broken_calls == 0; });
  bool is_stopped = false;
  // Once the answer is there, it waits.
  net::Timer timer = bench.loop.after(50ms, [&] {
    synchronization->stop({ErrorKind::unavailable, "snoozed"});
    is_stopped = true;
  });
  bench.loop.run_until([&] { return result.has_value(); });
  CHECK(is_stopped);
  CHECK(result->error().text() == "snoozed");
  CHECK(bench.calls == Calls{"lacks"});
  // Nothing of it holds the worker up.
  CHECK(bench.sync());
  CHECK(worker.stop().back().kind == Kind::committed);
}
