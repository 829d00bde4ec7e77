#include "shared/policy/wan_pacing.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>
#include <random>
#include <vector>

using namespace lamina;
using namespace std::chrono_literals;
using policy::WanPacing;

namespace {

// The first of two packets waits so long for the second, before both are acknowledged.
double gap_of(std::optional<BitRate> rate) {
  return rate ? std::min(0.040, 12'000.0 / static_cast<double>(rate->bits_per_second)) : 0;
}

// A line as a fluid: a rate, a round trip, a tail-drop queue. Ours sends what it is allowed to;
// others are a bulk TCP flow in the manner of cubic: it fills the queue, and at a drop goes back to
// 0.7 of its window. What ours sees is a round trip old, and smoothed as the kernel does it
// (tcp_rtt_estimator): an acknowledgement for two packets.
struct Line {
  double rate = 20e6;         // Bits per second.
  double round_trip = 0.040;  // Seconds.
  double queue_most = 0.060;  // Seconds of the rate.
  double loss = 0;            // Of ours, without a queue.
  double busy_every = 0;      // Seconds; now and then the receiver's machine is busy...
  double busy_for = 0;        // ...for so long, and either asks for nothing...
  bool holds_acks = false;    // ...or acknowledges nothing...
  bool is_all_still = false;  // ...or the sender's is, which neither sends nor decides then.
  double scatter = 0;  // Seconds; acknowledgements are late by up to so much, each by itself...
  double grant = 0;    // ...or come together, whenever a radio link may send: after up to so much.
  WanPacing pacing{};

  double queue = 0;  // Seconds.
  double now = 0;
  double acked = 0;    // Bytes.
  double told = 0;     // Of them, what the sender knows.
  double rtt = 0;      // Smoothed.
  double jitter = 0;   // Their mean deviation from that.
  double granted = 0;  // When the link may send next.
  std::minstd_rand chance{7};
  double window = 0;          // Of the others, bits; 0: there are none.
  double growth = 36'000;     // Of that, each round trip.
  double ours_delivered = 0;  // Bits since reset().
  double others_delivered = 0;
  double queue_longest = 0;
  int stood_back = 0;  // Decisions.
  std::int64_t lost = 0;
  std::deque<std::pair<double, double>> seen;  // When, queue.
  std::deque<std::pair<double, double>> acks;  // When, with which round trip; not sent yet.
  std::optional<BitRate> allowed;

  void run(double seconds) {
    constexpr double step = 0.001;
    for (const double end = now + seconds; now < end; now += step) {
      const bool is_busy = busy_every > 0 && std::fmod(now, busy_every) < busy_for;
      const double ours = is_busy && (!holds_acks || is_all_still) ? 0
                          : allowed ? static_cast<double>(allowed->bits_per_second)
                                    : 2 * rate;
      const double others = window / (round_trip + queue);
      const double sum = ours + others;
      const double carried = queue > 0 || sum > rate ? rate : sum;
      const double share = sum > 0 ? ours / sum : 0;
      ours_delivered += carried * share * step;
      others_delivered += carried * (1 - share) * step;
      acked += carried * share * step / 8 * (1 - loss);
      queue = std::max(0.0, queue + (sum / rate - 1) * step);
      if (queue > queue_most) {
        queue = queue_most;
        window *= 0.7;
        ++lost;
      } else if (window > 0) {
        window += growth * step / (round_trip + queue);
      }
      queue_longest = std::max(queue_longest, queue);
      seen.emplace_back(now, queue);
      while (seen.front().first < now - round_trip) seen.pop_front();
      while (acked - told >= 3000 * static_cast<double>(acks.size() + 1))
        acks.emplace_back(now, round_trip + seen.front().second + gap_of(allowed));
      if (!(is_busy && holds_acks) && now >= granted) acknowledge();
      if (std::fmod(now, 0.05) < step && !(is_busy && is_all_still)) decide();
    }
  }

  double by_chance(double most) {
    return most * static_cast<double>(chance()) / static_cast<double>(std::minstd_rand::max());
  }

  void acknowledge() {
    for (const auto& [when, round] : acks) measure(round + now - when + by_chance(scatter));
    told += 3000 * static_cast<double>(acks.size());
    acks.clear();
    granted = now + by_chance(grant);
  }

  void measure(double round) {
    const double off = round - (rtt > 0 ? rtt : round);
    rtt = rtt > 0 ? rtt + off / 8 : round;
    double more = std::abs(off) - jitter;
    if (off < 0 && more > 0) more /= 8;
    jitter += more / 4;
  }

  void decide() {
    if (rtt <= 0) return;
    const auto nanoseconds = [](double s) { return Duration{static_cast<std::int64_t>(s * 1e9)}; };
    const auto decision = pacing.on({.rtt = nanoseconds(rtt),
                                     .rtt_min = nanoseconds(round_trip),
                                     .jitter = nanoseconds(jitter),
                                     .acked = {static_cast<std::int64_t>(told)},
                                     .lost = lost},
                                    Instant{Duration{static_cast<std::int64_t>(now * 1e9)}});
    allowed = decision.rate;
    if (pacing.stands_back()) ++stood_back;
  }

  void reset() { ours_delivered = others_delivered = queue_longest = 0; }
};

double share(double bits, const Line& line, double seconds) { return bits / (line.rate * seconds); }

}  // namespace

TEST_CASE("wan pacing: alone it fills the line, with a short queue", "[wan_pacing]") {
  const double rate = GENERATE(2e6, 20e6, 200e6);
  const double round_trip = GENERATE(0.005, 0.040, 0.150);
  Line line{.rate = rate, .round_trip = round_trip};
  line.run(6);
  line.reset();
  line.run(20);
  CAPTURE(rate, round_trip);
  CHECK(share(line.ours_delivered, line, 20) > 0.97);
  CHECK(line.queue_longest < (round_trip > 0.1 ? 0.060 : 0.045));  // It swings where it sees late.
}

TEST_CASE("wan pacing: it gives way to a bulk flow, and takes the line back", "[wan_pacing]") {
  const double queue_most = GENERATE(0.060, 0.200);
  Line line{.queue_most = queue_most};
  line.run(5);
  line.window = 120'000;
  line.run(2);
  line.reset();
  line.run(10);
  CAPTURE(queue_most);
  CHECK(share(line.others_delivered, line, 10) > 0.85);
  line.window = 0;
  line.run(4);
  line.reset();
  line.run(1);
  CHECK(share(line.ours_delivered, line, 1) > 0.9);
}

TEST_CASE("wan pacing: a flow that takes its share bit by bit gets it", "[wan_pacing]") {
  Line line{};
  line.growth = GENERATE(6'000, 12'000, 24'000);
  line.run(5);
  line.window = 120'000;
  line.reset();
  line.run(12);
  CAPTURE(line.growth);
  CHECK(share(line.others_delivered, line, 12) > (line.growth > 20'000 ? 0.7 : 0.5));
  line.reset();
  line.run(12);
  CHECK(share(line.others_delivered, line, 12) > 0.8);
}

// As the acting reflector of a large site is, and every machine that does something else as well.
TEST_CASE("wan pacing: a receiver that is busy now and then is nobody else", "[wan_pacing]") {
  const bool holds_acks = GENERATE(false, true);
  const double busy_for = GENERATE(0.030, 0.060, 0.090, 0.120);
  const double busy_every = GENERATE(0.49, 1.07, 3.01);
  Line line{.busy_for = busy_for, .holds_acks = holds_acks};
  line.run(5);
  line.busy_every = busy_every;
  line.reset();
  line.run(30);
  CAPTURE(holds_acks, busy_for, busy_every, line.queue_longest);
  CHECK(line.stood_back == 0);
  // What was not asked for in time is lost, beyond what the queue holds.
  const double lost = holds_acks ? 0 : std::max(0.0, busy_for - 0.010) / busy_every;
  CHECK(share(line.ours_delivered, line, 30) > 0.97 - lost);
}

// A virtual machine whose host gives it no processor, at either end: nothing is acknowledged, then
// everything at once.
TEST_CASE("wan pacing: a machine that stands still is no queue", "[wan_pacing]") {
  const double busy_for = GENERATE(0.080, 0.150, 0.250, 0.400);
  const double busy_every = busy_for * GENERATE(2.3, 4.1, 7.3);
  const bool is_all_still = GENERATE(false, true);
  Line line{.busy_for = busy_for, .holds_acks = true, .is_all_still = is_all_still};
  line.run(5);
  line.busy_every = busy_every;
  line.reset();
  line.run(60);
  CAPTURE(busy_for, busy_every, is_all_still, line.stood_back);
  const double lost = is_all_still ? busy_for / busy_every : 0;
  CHECK(share(line.ours_delivered, line, 60) > (busy_for > 0.3 ? 0.5 : 0.9) - lost);
}

// As a radio link makes it, or a router on a busy machine.
TEST_CASE("wan pacing: round trips that scatter are no queue", "[wan_pacing]") {
  const double late = GENERATE(0.010, 0.020, 0.040, 0.060);
  const bool is_by_grants = GENERATE(false, true);
  Line line{};
  line.run(5);
  (is_by_grants ? line.grant : line.scatter) = late;
  line.chance.seed(GENERATE(1U, 2U, 3U));
  SECTION("alone it fills the line") {
    line.run(10);
    line.reset();
    line.run(60);
    CAPTURE(late, is_by_grants, line.stood_back, line.queue_longest);
    CHECK(share(line.ours_delivered, line, 60) > 0.9);
  }
  SECTION("it gives way all the same") {
    line.run(10);
    line.window = 120'000;
    line.run(2);
    line.reset();
    line.run(10);
    CAPTURE(late, is_by_grants);
    CHECK(share(line.others_delivered, line, 10) > 0.8);
    line.window = 0;
    line.run(4);
    line.reset();
    line.run(5);
    CHECK(share(line.ours_delivered, line, 5) > (late > 0.050 ? 0.3 : 0.8));
  }
}

TEST_CASE("wan pacing: a line that gets slower is used again", "[wan_pacing]") {
  Line line{};
  line.run(5);
  line.rate = 8e6;
  line.run(40);
  line.reset();
  line.run(10);
  CHECK(share(line.ours_delivered, line, 10) > 0.95);
}

TEST_CASE("wan pacing: a line that gives more than was measured is soon used", "[wan_pacing]") {
  const double at_first = GENERATE(0.05, 0.3, 0.7);
  const double for_so_long = GENERATE(0.5, 2.0, 20.0);
  Line line{.rate = at_first * 40e6};
  line.run(for_so_long);
  line.rate = 40e6;
  line.run(4);
  line.reset();
  line.run(5);
  CAPTURE(at_first, for_so_long);
  CHECK(share(line.ours_delivered, line, 5) > 0.95);
}

TEST_CASE("wan pacing: never slower than the floor", "[wan_pacing]") {
  WanPacing pacing;
  Instant now{1s};
  for (int i = 0; i < 100; ++i) pacing.on({.rtt = 500ms, .rtt_min = 40ms, .acked = {i}}, now += 1s);
  CHECK(pacing.on({.rtt = 500ms, .rtt_min = 40ms, .acked = {100}}, now += 1s).rate ==
        BitRate{128'000});
}

TEST_CASE("wan pacing: a sender that waits for something else keeps its rate", "[wan_pacing]") {
  Line line{};
  line.run(5);
  const auto before = line.allowed;
  REQUIRE(before);
  // Nothing is asked for: the queue is empty and next to nothing is acknowledged.
  Instant now{Duration{static_cast<std::int64_t>(line.now * 1e9)}};
  std::int64_t acked = static_cast<std::int64_t>(line.acked);
  for (int i = 0; i < 50; ++i)
    line.allowed =
        line.pacing.on({.rtt = 40ms, .rtt_min = 40ms, .acked = {acked += 100}}, now += 100ms).rate;
  CHECK(line.allowed == before);
  // Or a few packets, one at a time, whose acknowledgements are delayed; or it is not looked at.
  for (const Duration apart : {Duration{100ms}, Duration{3s}})
    for (int i = 0; i < 50; ++i)
      line.allowed =
          line.pacing
              .on({.rtt = 70ms, .rtt_min = 40ms, .acked = {acked += 1448}, .is_idle = apart < 1s},
                  now += apart)
              .rate;
  CHECK(line.allowed == before);
}

TEST_CASE("wan pacing: a peer that went away says nothing of the line", "[wan_pacing]") {
  // Its connection goes on sending again what nobody acknowledges; then another peer comes.
  Line line{};
  line.run(5);
  const auto before = line.allowed;
  REQUIRE(before);
  Instant now{Duration{static_cast<std::int64_t>(line.now * 1e9)}};
  const auto acked = static_cast<std::int64_t>(line.acked);
  for (const Duration queue : {Duration{22ms}, Duration{60ms}})
    for (int i = 0; i < 20; ++i)
      line.allowed =
          line.pacing
              .on({.rtt = 40ms + queue, .rtt_min = 40ms, .acked = {acked}, .lost = 1}, now += 50ms)
              .rate;
  CHECK_FALSE(line.pacing.stands_back());
  REQUIRE(line.allowed);
  CHECK(line.allowed->bits_per_second > 0.9 * before->bits_per_second);
}

TEST_CASE("wan pacing: who has little to send is nobody's victim", "[wan_pacing]") {
  // Stale round trips of a queue that somebody left, and next to nothing acknowledged.
  Line line{};
  line.run(5);
  Instant now{Duration{static_cast<std::int64_t>(line.now * 1e9)}};
  std::int64_t acked = static_cast<std::int64_t>(line.acked);
  for (const bool is_idle : {true, false}) {
    for (int i = 0; i < 20; ++i)
      line.pacing.on({.rtt = 100ms, .rtt_min = 40ms, .acked = {acked += 1448}, .is_idle = is_idle},
                     now += 50ms);
    CHECK(line.pacing.stands_back() == !is_idle);
  }
}

TEST_CASE("wan pacing: a longer route is learned within two windows", "[wan_pacing]") {
  WanPacing pacing;
  Instant now{1s};
  std::int64_t acked = 0;
  const auto run = [&](Duration rtt, int seconds) {
    for (int i = 0; i < seconds; ++i)
      pacing.on({.rtt = rtt, .rtt_min = rtt, .acked = {acked += 1'000'000}}, now += 1s);
  };
  run(20ms, 60);
  CHECK(pacing.queue() == 0ms);
  run(80ms, 300);
  CHECK(pacing.queue() == 60ms);
  run(80ms, 1300);
  CHECK(pacing.queue() == 0ms);
}

TEST_CASE("wan pacing: nothing measured, nothing decided", "[wan_pacing]") {
  WanPacing pacing;
  CHECK(pacing.on({}, Instant{1s}) == WanPacing::Decision{});
  CHECK(pacing.on({.rtt = 40ms, .rtt_min = 40ms, .acked = {}}, Instant{2s}) ==
        WanPacing::Decision{});
}

TEST_CASE("wan pacing: a line that loses packets without a queue is lossy", "[wan_pacing]") {
  WanPacing pacing;
  Instant now{1s};
  std::int64_t acked = 0;
  std::int64_t lost = 0;
  const auto step = [&](Duration rtt, std::int64_t more, Duration later = 200ms) {
    return pacing
        .on({.rtt = rtt, .rtt_min = 40ms, .acked = {acked += 100'000}, .lost = lost += more},
            now += later)
        .is_lossy;
  };
  step(40ms, 0);
  SECTION("four in a row") {
    for (int i = 0; i < 3; ++i) CHECK_FALSE(step(45ms, 1));
    CHECK(step(45ms, 1));
    CHECK(step(45ms, 0));
    // Until there was none for long.
    CHECK_FALSE(step(45ms, 0, 601s));
  }
  SECTION("several at once are one") {
    for (int i = 0; i < 3; ++i) CHECK_FALSE(step(45ms, 50));
  }
  SECTION("far apart they are chance") {
    for (int i = 0; i < 20; ++i) CHECK_FALSE(step(45ms, 1, 11s));
  }
  SECTION("with a queue, before or after, it is the queue's end") {
    for (int i = 0; i < 20; ++i) {
      CHECK_FALSE(step(100ms, 1));
      CHECK_FALSE(step(45ms, 1));
    }
  }
}

TEST_CASE("wan pacing: before a queue of others it stands back, and comes back at once",
          "[wan_pacing]") {
  WanPacing pacing;
  Instant now{1s};
  std::int64_t acked = 0;
  std::int64_t lost = 0;
  bool among_ours = false;
  bool held = false;
  std::optional<BitRate> rate_now;
  const auto step = [&](Duration rtt, double share_of_20_mbit) {
    acked += static_cast<std::int64_t>(20e6 / 8 * 0.05 * share_of_20_mbit);
    rtt += Duration{static_cast<std::int64_t>(gap_of(rate_now) * 1e9)};
    const auto decision = pacing.on({.rtt = rtt,
                                     .rtt_min = 40ms,
                                     .acked = {acked},
                                     .lost = lost,
                                     .is_among_ours = among_ours,
                                     .is_held = held},
                                    now += 50ms);
    rate_now = decision.rate;
    return decision;
  };
  for (int i = 0; i < 40; ++i) step(60ms, 1);
  const double usual = static_cast<double>(step(60ms, 1).rate.value().bits_per_second);
  CHECK(usual == Approx(20e6).epsilon(0.05));
  SECTION("a queue of our own, or a moment's, is none") {
    for (int i = 0; i < 20; ++i) step(i % 4 == 3 ? 60ms : 90ms, 1);
    CHECK_FALSE(pacing.stands_back());
  }
  SECTION("acknowledgements that were held up and come together are no faster line") {
    const std::array share{0, 0, 2, 2};
    for (const int part : share) step(60ms, part);
    for (int i = 0; i < 40; ++i) step(60ms, 1);
    CHECK_FALSE(pacing.stands_back());
  }
  SECTION("a receiver that takes less is nobody else") {
    held = GENERATE(true, false);
    for (int i = 0; i < 40; ++i) step(60ms, 0.2);
    CHECK(pacing.stands_back() != held);
    // Nor is its rate the line's.
    if (held)
      CHECK(static_cast<double>(step(60ms, 0.2).rate.value().bits_per_second) > 0.9 * usual);
  }
  SECTION("others take their share") {
    int steps = 0;
    while (!pacing.stands_back() && ++steps < 20) step(90ms, 0.6);
    CHECK(steps <= 6);
    CHECK(static_cast<double>(step(90ms, 0.05).rate.value().bits_per_second) < 0.06 * usual);
    for (int i = 0; i < 200; ++i) CHECK_FALSE(step(90ms, 0.05).begin_anew);
    // They are gone.
    int anew = 0;
    int until_back = 0;
    double rate = 0;
    while (rate < 0.8 * usual && ++until_back < 200) {
      const auto decision = step(45ms, rate / 20e6);
      anew += decision.begin_anew;
      rate = static_cast<double>(decision.rate.value().bits_per_second);
    }
    CHECK(anew == 1);
    CHECK(until_back * 50ms > 2000ms);
    CHECK(until_back * 50ms < 3500ms);
  }
  SECTION("round trips that just take longer are found out") {
    double rate = 20e6;
    int back = 0;
    for (int i = 0; i < 600 && (i < 20 || pacing.stands_back()); ++i, ++back)
      rate =
          static_cast<double>(step(110ms, i < 10 ? 0.6 : rate / 20e6).rate.value().bits_per_second);
    CHECK(back * 50ms > 8s);
    CHECK(back * 50ms < 11s);
    for (int i = 0; i < 60; ++i)
      rate = static_cast<double>(step(110ms, rate / 20e6).rate.value().bits_per_second);
    CHECK(rate > 0.8 * usual);
    CHECK(pacing.queue() == 0ms);
  }
  SECTION("a queue that grows as it probes is there") {
    for (int i = 0; i < 10; ++i) step(90ms, 0.6);
    REQUIRE(pacing.stands_back());
    double rate = 0;
    for (int i = 0; i < 1200; ++i)  // A minute.
      rate = static_cast<double>(
          step(rate > 2e6 ? 110ms : 90ms, rate / 20e6).rate.value().bits_per_second);
    CHECK(pacing.stands_back());
  }
  SECTION("another line of ours is nobody else") {
    among_ours = true;
    for (int i = 0; i < 20; ++i) step(90ms, 0.6);
    CHECK_FALSE(pacing.stands_back());
  }
  SECTION("losses in a long queue are a sign as well") {
    lost = 3;
    step(90ms, 1);
    lost = 9;
    for (int i = 0; i < 5; ++i) step(90ms, 1);
    CHECK(pacing.stands_back());
  }
  SECTION("after which the others need longer to fill the line") {
    for (int i = 0; i < 10; ++i) step(90ms, 0.6);
    REQUIRE(pacing.stands_back());
    const bool overflows = GENERATE(false, true);
    for (int i = 0; i < 60; ++i) step(45ms, 0.05);
    REQUIRE_FALSE(pacing.stands_back());
    for (int i = 0; i < 60; ++i) step(45ms, 1);
    for (int i = 0; i < 10; ++i) {
      lost += overflows ? 1 : 0;
      step(90ms, 0.6);
    }
    REQUIRE(pacing.stands_back());
    int back = 0;
    while (pacing.stands_back() && ++back < 200) step(45ms, 0.05);
    CHECK(back * 50ms > (overflows ? 2600ms : 1600ms));
    CHECK(back * 50ms < (overflows ? 3400ms : 2400ms));
  }
  SECTION("but not on a line that loses packets anyway") {
    for (int i = 0; i < 4; ++i) {
      ++lost;
      step(50ms, 1);
    }
    for (int i = 0; i < 40; ++i) step(60ms, 1);
    ++lost;
    for (int i = 0; i < 20; ++i) step(90ms, 1);
    CHECK_FALSE(pacing.stands_back());
  }
  SECTION("a moment's queue does not keep it from coming back") {
    for (int i = 0; i < 10; ++i) step(90ms, 0.6);
    REQUIRE(pacing.stands_back());
    for (int i = 0; i < 50; ++i) step(i % 4 == 3 ? 90ms : 45ms, 0.05);
    CHECK_FALSE(pacing.stands_back());
  }
}
