#include "node/net/applying.hpp"

#include <catch2/catch.hpp>
#include <thread>

#include "shared/os/local_socket.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using tests::Scratch;

namespace {

struct Bench {
  Bench() { REQUIRE(state.prepare({::geteuid(), ::getegid(), ""})); }

  // What the device makes of a worker that answers one apply with `reply`.
  void apply(const WorkerReply& reply) {
    auto listener = os::LocalListener::listen(state.worker_socket(), 0600, static_cast<gid_t>(-1));
    REQUIRE(listener);
    std::thread answers([&] {
      auto connection = listener->accept(std::chrono::seconds{60});
      if (!connection || !connection->receive(std::chrono::seconds{60})) return;
      static_cast<void>(connection->send(to_json(reply)));
    });
    WorkerLink worker(loop, state.worker_socket());
    const auto applying = Applying::make(
        loop, state, worker, layers,
        {.close_transaction =
             [this](Bytes size) {
               stored = size;
               return std::map<std::string, std::int64_t>{{"lan-peer", 5}};
             },
         .report = [this](Outcome outcome) { reports.push_back(std::move(outcome)); },
         .lose = [this](const LayerId& layer) { lost.push_back(layer); },
         .applied =
             [this](const Agent::Applied& done, const std::vector<std::string>& due) {
               applied = done;
               restart_due = due;
             },
         .waits =
             [this](const Agent::ApplyWaits& until, const std::vector<std::string>& due) {
               waits = until;
               restart_due = due;
             },
         .failed = [this](const Agent::ApplyFailed& why) { failed = why; }});
    applying->apply(9);
    loop.run_until([&] { return applied || waits || failed; });
    answers.join();
  }

  Scratch scratch;
  StateDirectory state{scratch.path()};
  net::Loop loop;
  std::map<LayerId, LayerFiles> layers;
  std::optional<Bytes> stored;
  std::vector<Outcome> reports;
  std::vector<LayerId> lost;
  std::optional<Agent::Applied> applied;
  std::vector<std::string> restart_due;
  std::optional<Agent::ApplyWaits> waits;
  std::optional<Agent::ApplyFailed> failed;
};

template <class Id>
Id numbered(unsigned char number) {
  std::array<std::byte, 32> bytes{};
  bytes[0] = std::byte{number};
  return Id(bytes);
}

}  // namespace

TEST_CASE("applying: what was applied is reported with its cost; shared packs count once",
          "[node]") {
  Bench bench;
  const auto base = numbered<LayerId>(1), app = numbered<LayerId>(2);
  const auto shared = numbered<PackId>(3), own = numbered<PackId>(4);
  bench.layers[base] = {.layer = base, .packs = {{shared, 100, true}}};
  bench.layers[app] = {.layer = app, .packs = {{shared, 100, true}, {own, 20, false}}};
  WorkerReply reply{.sequence = 9, .stack = {base, app}};
  reply.counts.created = 3;
  bench.apply(reply);
  REQUIRE(bench.applied);
  CHECK(bench.applied->sequence == 9);
  CHECK(bench.stored == Bytes{120});
  REQUIRE(bench.reports.size() == 1);
  CHECK(bench.reports[0].operation == "apply");
  CHECK_FALSE(bench.reports[0].error);
  CHECK(bench.reports[0].layers == std::vector{base, app});
  CHECK(bench.reports[0].counts.at("created") == 3);
  CHECK(bench.reports[0].bytes_by_source.at("lan-peer") == 5);
}

TEST_CASE("applying: what waits for the restart is staged, and not applied", "[node]") {
  Bench bench;
  WorkerReply reply{.sequence = 8};
  reply.waits = 9;
  reply.restart_due = {"debian 12.12"};
  reply.counts.created = 3;
  bench.apply(reply);
  CHECK_FALSE(bench.applied);
  REQUIRE(bench.waits);
  CHECK(bench.waits->sequence == 9);
  CHECK(bench.restart_due == std::vector<std::string>{"debian 12.12"});
  REQUIRE(bench.reports.size() == 1);
  CHECK(bench.reports[0].operation == "stage");
  CHECK(bench.reports[0].sequence == 9);
  CHECK(bench.reports[0].counts.at("created") == 3);
}

TEST_CASE("applying: what is refused is reported and not tried again", "[node]") {
  Bench bench;
  WorkerReply reply;
  reply.error.emplace(ErrorKind::refused, "an older target");
  bench.apply(reply);
  REQUIRE(bench.failed);
  CHECK(bench.failed->sequence == 9);
  CHECK_FALSE(bench.failed->again);
  REQUIRE(bench.reports.size() == 1);
  CHECK(bench.reports[0].error->text() == "an older target");
  CHECK_FALSE(bench.stored);
}

TEST_CASE("applying: a worker that is away is no report", "[node]") {
  Bench bench;
  WorkerReply reply;
  reply.error.emplace(ErrorKind::unavailable, "busy");
  bench.apply(reply);
  REQUIRE(bench.failed);
  CHECK(bench.failed->again);
  CHECK(bench.reports.empty());
}

TEST_CASE("applying: damaged bytes lose the layers whose packs are not whole", "[node]") {
  Bench bench;
  const auto layer = numbered<LayerId>(1);
  bench.layers[layer] = {.layer = layer, .packs = {{numbered<PackId>(3), 100, true}}};
  WorkerReply reply;
  reply.error.emplace(ErrorKind::corrupt, "a chunk has other bytes");
  bench.apply(reply);
  REQUIRE(bench.failed);
  CHECK(bench.failed->again);
  CHECK(bench.lost == std::vector{layer});
  CHECK(bench.reports.size() == 1);
}

TEST_CASE("applying: scripts of the apply before are not those of what is staged", "[node]") {
  Bench bench;
  WorkerReply reply{.sequence = 8};
  reply.waits = 9;
  reply.scripts = {{.layer = "app 1", .name = "set-up", .code = 3}};
  bench.apply(reply);
  REQUIRE(bench.reports.size() == 1);
  CHECK(bench.reports[0].scripts.empty());
  CHECK(bench.reports[0].counts.at("scripts") == 0);
}

TEST_CASE("applying: what nobody was told of is reported, the oldest first", "[node]") {
  WorkerReply status{.sequence = 8, .stack = {numbered<LayerId>(1)}};
  CHECK(untold_outcomes(status, 5).empty());
  status.earlier = {{6, {{.layer = "app 1", .name = "set-up", .code = 3, .output = "no"}}},
                    {7, {{.layer = "app 2", .name = "set-up"}}}};
  status.scripts = {{.layer = "app 3", .name = "set-up"}};
  // As it comes over the socket.
  const auto heard = parse_worker_reply(to_json(status));
  REQUIRE(heard);
  const auto outcomes = untold_outcomes(*heard, 5);
  REQUIRE(outcomes.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(outcomes[i].operation == "apply");
    CHECK(outcomes[i].sequence == 6 + i);
    CHECK_FALSE(outcomes[i].error);
  }
  CHECK(outcomes[0].scripts == status.earlier[0].ends);
  CHECK(outcomes[1].scripts == status.earlier[1].ends);
  CHECK(outcomes[2].scripts == status.scripts);
  CHECK(outcomes[2].layers == status.stack);

  status.tried = "the node did not come up in 3 starts";
  status.scripts.clear();
  const auto tried = untold_outcomes(status, 5);
  REQUIRE(tried.size() == 3);
  REQUIRE(tried[2].error);
  CHECK(tried[2].error->text() == *status.tried);
}
