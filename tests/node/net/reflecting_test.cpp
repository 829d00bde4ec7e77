#include "node/net/reflecting.hpp"

#include <catch2/catch.hpp>

#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;
using tests::Scratch;

namespace {

// Counts how often it is asked whom it serves.
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
  Sources sources() const override { return {}; }
  Bytes sent(const LayerId&) const override { return {}; }
  std::vector<PeerBytes> lan_peers() const override {
    ++asked;
    return {{.connection = "a", .address = "10.0.0.1", .received = {}}};
  }
  mutable int asked = 0;
};

}  // namespace

TEST_CASE("remembered: a value is found anew once it is old, or known to have changed", "[node]") {
  const Instant begin{};
  int found = 0;
  const auto find = [&] { return ++found; };
  Remembered<int> value(10s);
  CHECK(value.get(begin, find) == 1);
  CHECK(value.get(begin + 9999ms, find) == 1);
  CHECK(value.get(begin + 10s, find) == 2);
  CHECK(value.get(begin + 19s, find) == 2);
  value.forget();
  CHECK(value.get(begin + 19s, find) == 3);
}

TEST_CASE("reflecting: polls in a row ask the swarm once, status asks it each time", "[node]") {
  const Scratch scratch;
  const StateDirectory state(scratch.path());
  REQUIRE(state.prepare({::geteuid(), ::getegid(), ""}));
  net::Loop loop;
  FakeSwarm swarm;
  const auto reflecting = Reflecting::open(loop, state, {}, std::nullopt,
                                           {.needs = [] { return Reflecting::Needs{}; },
                                            .changed = [] {},
                                            .hurry = [] {},
                                            .lose = [](const LayerId&) {},
                                            .ended = [](const Reflecting::Ended&) {}});
  reflecting->use(swarm);
  wire::PollRequest first, second;
  reflecting->add_to(first, Bytes{7});
  reflecting->add_to(second, Bytes{8});
  CHECK(swarm.asked == 1);
  CHECK(first.serving->peers_connected == 1);
  CHECK(first.serving->sent_bytes == 7);
  CHECK(second.serving->sent_bytes == 8);
  CHECK(reflecting->serving().peers_connected == 1);
  CHECK(swarm.asked == 2);
  reflecting->stop();
}
