#include "sim/report/figures.hpp"

#include <catch2/catch.hpp>

#include "shared/wire/node.hpp"
#include "tests/sim/report/sample.hpp"

using namespace lamina;
using namespace lamina::sim;
using namespace std::chrono_literals;

TEST_CASE("figures: sources have the names that an origin counts under", "[report]") {
  CHECK(name_of(Source::lan_peer) == "lan-peer");
  CHECK(name_of(Source::reflector) == "reflector");
  CHECK(name_of(Source::origin_by_lease) == "origin-by-lease");
  CHECK(name_of(Source::origin_by_budget) == "origin-by-budget");
  CHECK(name_of(Source::origin_by_https) == "origin-by-https");
  CHECK(name_of(Source::local_cache) == "local-cache");
}

TEST_CASE("figures: what some replicas did not reach is the highest", "[report]") {
  const WaveSpread spread = spread_of_wave(sample_result(), 1);
  CHECK(spread.p50 == Spread<Duration>{40min, 40min, 40min, 3, 3});
  CHECK(spread.p95 == Spread<Duration>{80min, 90min, std::nullopt, 2, 3});
  CHECK(spread.p99 == Spread<Duration>{std::nullopt, std::nullopt, std::nullopt, 0, 3});
  CHECK(range_text(spread.p50) == "40 min 0 s to 40 min 0 s");
  CHECK(range_text(spread.p95) == "1 h 20 min to not reached in 1 of 3");
  CHECK(range_text(spread.p99) == "not reached in any of 3");
  CHECK(range_text({1min, 1min, 1min, 1, 1}).empty());
}

TEST_CASE("figures: the median of an even number is a value that one had", "[report]") {
  CHECK(spread_of<Duration>({4min, 1min, 3min, 2min}).median == Duration(2min));
  CHECK(spread_of<Duration>({}).replicas == 0);
}

TEST_CASE("figures: an hour's use is of what the line can carry in it", "[report]") {
  const RunResult r = sample_result();
  const LineResult& line = line_of_site(r, 0, Direction::down);
  CHECK(use_of(line, 0, 150min) == Approx(1));
  CHECK(use_of(line, 1, 150min) == Approx(0.5));
  CHECK(use_of(line, 2, 150min) == Approx(1));  // Half an hour.
  CHECK(busiest_hour(line)->hour == 0);
  CHECK(line_of_site(r, 1, Direction::up).index == 1);
  CHECK_FALSE(busiest_hour(line_of_site(r, 1, Direction::up)));
}

TEST_CASE("figures: the fullest lines, by time and then by their busiest hour", "[report]") {
  const RunResult r = sample_result();
  // berlin 110 min; then 5 min each: the region's line was used more than lisbon's.
  CHECK(most_saturated(r, 20) == std::vector<std::size_t>{4, 2, 6});
  CHECK(most_saturated(r, 1) == std::vector<std::size_t>{4});
}

TEST_CASE("figures: sites that did not finish come first", "[report]") {
  CHECK(slowest_sites(sample_result(), 5) == std::vector<Index>{0, 1});
}

TEST_CASE("figures: times on the calendar are of the run's zone", "[report]") {
  const Run run = sample_scenario().run;
  CHECK(clock_text(Instant{}, run) == "Mon 18:00");
  CHECK(clock_text(Instant{6h + 59s}, run) == "Tue 00:00");
}

TEST_CASE("figures: shares of waiting add up to one, or are nothing", "[report]") {
  const auto shares = shares_of(sample_result().sites[0].waiting);
  CHECK(shares[static_cast<std::size_t>(Limit::offline)] == Approx(0.25));
  CHECK(shares[static_cast<std::size_t>(Limit::wan)] == Approx(0.75));
  CHECK(shares_of({})[0] == 0);
}
