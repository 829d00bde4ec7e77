#include "sim/model/lan_stage.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::sim;

namespace {

Instant at(double seconds) { return Instant(Duration(static_cast<std::int64_t>(seconds * 1e9))); }
double seconds(Instant instant) { return in_seconds(instant.time_since_epoch()); }

}  // namespace

TEST_CASE("lan: devices with what is all there share the serving port") {
  LanStage lan(3, 100e6, 30e6);
  lan.set_serving(100e6);
  lan.add_fixed(0, LanStage::kWired, 1e9);
  lan.add_fixed(1, LanStage::kWired, 1e9);
  lan.add_fixed(2, LanStage::kWireless, 1e9);
  lan.evaluate();
  // 30 MB/s over the radio, 35 MB/s each over the wires.
  CHECK(seconds(lan.next()) == Approx(1e9 / 35e6).epsilon(1e-9));
  CHECK(lan.waiting() == 3);
}

TEST_CASE("lan: one behind catches up with the frontier, and then has its rate") {
  LanStage lan(1, 100e6, 30e6);
  lan.restart_frontier(4e8);
  lan.set_frontier_rate(2e6);
  lan.add_behind(0, LanStage::kWired, 4e8);
  lan.evaluate();
  // The gap closes by 98 MB a second.
  const double caught = 4e8 / 98e6;
  CHECK(seconds(lan.next()) == Approx(caught).epsilon(1e-9));
  lan.touch(lan.next(), 4e8 + caught * 2e6);
  std::vector<std::uint32_t> done;
  lan.finish(done);
  CHECK(done.empty());
  lan.evaluate();
  CHECK(lan.next() == kNever);
  CHECK(lan.waiting() == 0);
  CHECK(lan.has_followers());
  lan.touch(at(100), 6e8);
  CHECK(lan.carried() == Approx(6e8).epsilon(1e-8));
  CHECK(lan.remove(0) == 0);
}

TEST_CASE("lan: where it is slower than the frontier, the caught fall behind by just that") {
  LanStage lan(10, 100e6, 30e6);
  lan.set_serving(10e6);
  lan.set_frontier_rate(2e6);
  for (std::uint32_t i = 0; i < 10; ++i) lan.add_behind(i, LanStage::kWired, 0);
  lan.evaluate();
  CHECK(lan.waiting() == 10);
  lan.touch(at(100), 200e6);
  CHECK(lan.carried() == Approx(100 * 10e6));
  // The frontier stands still from here: half of it is missing.
  lan.set_frontier_rate(0);
  lan.evaluate();
  CHECK(seconds(lan.next()) == Approx(200));
  CHECK(lan.remove(3) == Approx(100e6));
  lan.evaluate();
  CHECK(seconds(lan.next()) == Approx(190));
}
