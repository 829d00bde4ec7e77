#include "sim/model/tcp.hpp"

#include <catch2/catch.hpp>

#include "sim/model/efficiency.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace std::chrono_literals;

TEST_CASE("tcp: the window bounds a line without loss") {
  const Tcp tcp{.window = 64_KiB};
  CHECK(tcp_cap(tcp, 100ms, 0) == Approx(655'360));
  CHECK(tcp_cap({.window = 64_KiB, .connections = 4}, 100ms, 0) == Approx(4 * 655'360));
  CHECK(tcp_cap(tcp, 0ms, 0) == kInfinite);
}

TEST_CASE("tcp: at 40 ms and 1 % of loss a connection gets three Mbit/s, at 0.1 % eleven") {
  CHECK(tcp_cap({}, 40ms, 0.01) * 8 == Approx(3.12e6).epsilon(0.05));
  CHECK(tcp_cap({}, 40ms, 0.001) * 8 == Approx(11.1e6).epsilon(0.05));
  CHECK(tcp_cap({.congestion = Congestion::bbr}, 40ms, 0.01) == Approx((4 << 20) / 0.04));
}

TEST_CASE("tcp: a start costs a round trip, and one more for each doubling of the window") {
  CHECK(start_delay({}, 40ms, 0) == 40ms);
  CHECK(start_delay({}, 40ms, 14'480 / 0.04) == 40ms);
  CHECK(start_delay({}, 40ms, 4 * 14'480 / 0.04).count() == Approx(120e6));
}

TEST_CASE(
    "efficiency: between the measured points it follows the logarithm, beyond them it stays") {
  Swarm swarm;
  CHECK(swarm_efficiency(swarm, 10, 10) == 1);
  swarm.efficiency = {{10, 100, 0.5}, {10, 10'000, 0.9}, {1000, 100, 0.3}};
  CHECK(swarm_efficiency(swarm, 10, 100) == Approx(0.5));
  CHECK(swarm_efficiency(swarm, 1, 1) == Approx(0.5));
  CHECK(swarm_efficiency(swarm, 10, 1000) == Approx(0.7));
  CHECK(swarm_efficiency(swarm, 10, 1e9) == Approx(0.9));
  CHECK(swarm_efficiency(swarm, 100, 100) == Approx(0.4));
  CHECK(swarm_efficiency(swarm, 1e6, 1e6) == Approx(0.3));
}
