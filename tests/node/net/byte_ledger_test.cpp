#include "node/net/byte_ledger.hpp"

#include <catch2/catch.hpp>

#include "shared/os/file.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;

namespace {

using BySource = std::map<std::string, std::int64_t>;
constexpr WallTime kBegin{5'000'000'000};

LayerSwarm::Sources sources(std::int64_t lan, std::int64_t origin) {
  return {.lan = {lan}, .origin = {origin}, .sent = {}};
}

// Says what the test sets.
struct FakeSwarm : LayerSwarm {
  Status join(const LayerFiles&, const Leaning&) override { return Done{}; }
  void leave(const LayerId&) override {}
  Status meet(const std::vector<wire::Peer>&) override { return Done{}; }
  Status configure(const Serving&) override { return Done{}; }
  Status lead(const Lease&) override { return Done{}; }
  void resign() override {}
  std::optional<Bytes> wan_left() const override { return std::nullopt; }
  void limit_wan(BitRate) override {}
  void use_transport(std::optional<policy::WanTransport::Kind>) override {}
  void use_identity(const Identity&) override {}
  Sources sources() const override { return now; }
  Bytes sent(const LayerId&) const override { return {}; }
  std::vector<PeerBytes> lan_peers() const override { return {}; }
  Sources now;
};

}  // namespace

TEST_CASE("ledger: bytes are divided by who gave them and on what", "[node]") {
  ByteLedger ledger(kBegin);
  ledger.count(sources(100, 0), {{"a", "10.0.0.1", {60}}, {"b", "10.0.0.2", {40}}}, {"10.0.0.1"},
               false);
  CHECK(ledger.totals().by_source == BySource{{"reflector", 60}, {"lan-peer", 40}});
  // The next holder is the other one; what came before stays where it was counted.
  ledger.count(sources(150, 0), {{"a", "10.0.0.1", {70}}, {"b", "10.0.0.2", {80}}}, {"10.0.0.2"},
               false);
  CHECK(ledger.totals().by_source == BySource{{"reflector", 100}, {"lan-peer", 50}});
  // Now this device holds a lease, then uses its budget.
  ledger.count(sources(150, 7), {}, {}, false);
  ledger.count(sources(150, 12), {}, {}, true);
  CHECK(ledger.totals().by_source ==
        BySource{
            {"reflector", 100}, {"lan-peer", 50}, {"origin-by-lease", 7}, {"origin-by-budget", 5}});
  CHECK(ledger.totals().since_ms == 5000);
  // Over the API's port: one reason, whatever it was fetched on.
  ledger.count({.lan = {150}, .origin = {12}, .https = {3}, .sent = {}}, {}, {}, false);
  ledger.count({.lan = {150}, .origin = {12}, .https = {5}, .sent = {}}, {}, {}, true);
  CHECK(ledger.totals().by_source.at("origin-by-https") == 5);
  CHECK(ledger.totals().by_source.at("origin-by-lease") == 7);
  CHECK(ledger.totals().by_source.at("origin-by-budget") == 5);
}

TEST_CASE("ledger: what came from any of several reflectors came from a reflector", "[node]") {
  ByteLedger ledger(kBegin);
  ledger.count(sources(150, 0),
               {{"a", "10.0.0.1", {60}}, {"b", "10.0.0.2", {40}}, {"c", "10.0.0.3", {50}}},
               {"10.0.0.1", "10.0.0.3"}, false);
  CHECK(ledger.totals().by_source == BySource{{"reflector", 110}, {"lan-peer", 40}});
}

TEST_CASE("ledger: the same figures again, and a connection made anew, count once", "[node]") {
  ByteLedger ledger(kBegin);
  const std::vector<LayerSwarm::PeerBytes> peers{{"a", "10.0.0.1", {60}}};
  for (int i = 0; i < 3; ++i) ledger.count(sources(100, 9), peers, {"10.0.0.1"}, false);
  const BySource once{{"reflector", 60}, {"lan-peer", 40}, {"origin-by-lease", 9}};
  CHECK(ledger.totals().by_source == once);
  // It begins at 0 again; 20 of the 30 that came are its.
  ledger.count(sources(130, 9), {{"a", "10.0.0.1", {20}}}, {"10.0.0.1"}, false);
  CHECK(ledger.totals().by_source.at("reflector") == 80);
  CHECK(ledger.totals().by_source.at("lan-peer") == 50);
  // Never more than what came in all.
  ledger.count(sources(131, 9), {{"c", "10.0.0.1", {500}}}, {"10.0.0.1"}, false);
  CHECK(ledger.totals().by_source.at("reflector") == 81);
}

TEST_CASE("ledger: a transaction costs what came since the last one", "[node]") {
  ByteLedger ledger(kBegin);
  ledger.count(sources(70, 30), {}, {}, false);
  CHECK(ledger.close_transaction({100}) == BySource{{"lan-peer", 70}, {"origin-by-lease", 30}});
  ledger.count(sources(90, 30), {}, {}, false);
  // The stack is 120 now: 100 of it were here.
  CHECK(ledger.close_transaction({120}) == BySource{{"lan-peer", 20}, {"local-cache", 100}});
  CHECK(ledger.close_transaction({120}) == BySource{{"local-cache", 120}});
  CHECK(ledger.totals().by_source.at("local-cache") == 220);
}

TEST_CASE("ledger: totals go on after a restart, and nothing is counted twice", "[node]") {
  const tests::Scratch scratch;
  const StateDirectory state(scratch.path());
  REQUIRE(os::make_directories(state.net()));
  FakeSwarm swarm;
  {
    LedgerFile file(state, kBegin);
    swarm.now = sources(40, 10);
    file.count(swarm, {}, false);
    CHECK(file.close_transaction({50}).at("lan-peer") == 40);
    swarm.now = sources(45, 10);
    file.count(swarm, {}, false);
  }
  // The process was killed: the swarm begins at 0.
  swarm.now = sources(3, 0);
  LedgerFile file(state, {9'000'000'000});
  CHECK(file.totals().by_source.at("lan-peer") == 45);
  file.count(swarm, {}, false);
  CHECK(file.totals().by_source == BySource{{"lan-peer", 48}, {"origin-by-lease", 10}});
  CHECK(file.totals().since_ms == 5000);
  CHECK(file.close_transaction({50}) == BySource{{"lan-peer", 8}, {"local-cache", 42}});
}

TEST_CASE("ledger: what was given to the site outlives a restart", "[node]") {
  const tests::Scratch scratch;
  const StateDirectory state(scratch.path());
  REQUIRE(os::make_directories(state.net()));
  FakeSwarm swarm;
  swarm.now.sent = {70};
  LedgerFile(state, kBegin).count(swarm, {}, false);
  LedgerFile file(state, kBegin);
  CHECK(file.sent() == Bytes{70});
  swarm.now.sent = {5};  // The swarm began at 0.
  file.count(swarm, {}, false);
  CHECK(LedgerFile(state, kBegin).sent() == Bytes{75});
  // A ledger from before it was counted.
  CHECK(ByteLedger::parse(R"({"since_ms":1,"by_source":{},"at_last_apply":{}})")->sent() ==
        Bytes{});
  CHECK_FALSE(ByteLedger::parse(R"({"since_ms":1,"by_source":{},"at_last_apply":{},"sent":-1})"));
}

TEST_CASE("ledger: only what is on disk is told", "[node]") {
  const tests::Scratch scratch;
  const StateDirectory state(scratch.path() + "/gone");
  FakeSwarm swarm;
  LedgerFile file(state, kBegin);
  swarm.now = sources(40, 10);
  file.count(swarm, {}, false);
  CHECK(file.totals().by_source.empty());
  REQUIRE(os::make_directories(state.net()));
  file.count(swarm, {}, false);
  CHECK(file.totals().by_source.at("lan-peer") == 40);
}

TEST_CASE("ledger: a file that is none begins anew, with a later beginning", "[node]") {
  for (const std::string text :
       {"", "{}", "[]", R"({"since_ms":1,"by_source":{"a":-1},"at_last_apply":{}})",
        R"({"since_ms":1,"by_source":[],"at_last_apply":{}})",
        R"({"since_ms":-1,"by_source":{},"at_last_apply":{}})"}) {
    INFO(text);
    CHECK_FALSE(ByteLedger::parse(text));
    const tests::Scratch scratch;
    const StateDirectory state(scratch.path());
    REQUIRE(os::make_directories(state.net()));
    REQUIRE(os::write_file(state.net() + "/bytes.json", as_view(text)));
    CHECK(LedgerFile(state, kBegin).totals() == wire::ByteCounts{.since_ms = 5000});
  }
}
