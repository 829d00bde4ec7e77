#include "shared/net/pace.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::net;
using namespace std::chrono_literals;

namespace {

// An upload without end over a line that takes everything at once; timers are `late`.
struct Upload {
  Pace pace;
  Instant now{1h};
  Duration late{};

  // The bytes that go until `end`.
  Bytes until(Instant end) {
    Bytes sent;
    while (now < end && !pace.is_stopped()) {
      if (const Duration wait = pace.wait(now); wait > 0s) {
        now += wait + late;
        continue;
      }
      const Bytes step = pace.step(128_KiB);
      pace.spend(step, now);
      sent += step;
    }
    now = std::max(now, end);
    return sent;
  }
};

// As the line counts them.
double line_bytes(Bytes sent) { return static_cast<double>(sent.count) * 1500 / 1448; }

}  // namespace

TEST_CASE("pace: a rate holds on the line, whatever the timers", "[net]") {
  for (const std::int64_t kb : {8, 125, 1000, 12'500})
    for (const Duration late : {0ms, 1ms, 20ms}) {
      CAPTURE(kb, late / 1ms);
      Upload upload{.late = late};
      upload.pace.set(BitRate{kb * 8000});
      CHECK(line_bytes(upload.until(upload.now + 60s)) == Approx(60.0 * kb * 1000).epsilon(0.02));
    }
}

TEST_CASE("pace: it flows evenly", "[net]") {
  Upload upload;
  upload.pace.set(BitRate{8'000'000});
  upload.until(upload.now + 1s);
  for (int i = 0; i < 20; ++i)
    CHECK(line_bytes(upload.until(upload.now + 250ms)) == Approx(250'000).epsilon(0.15));
}

TEST_CASE("pace: a new rate counts at once, and nothing is saved up", "[net]") {
  Upload upload;
  upload.pace.set(BitRate{80'000'000});
  upload.until(upload.now + 10s);
  upload.now += 1h;  // Nothing was sent.
  upload.pace.set(BitRate{800'000});
  CHECK(line_bytes(upload.until(upload.now + 10s)) == Approx(1'000'000).epsilon(0.03));
  // From very slow to fast: a wait is over after a second, and then the new rate counts.
  upload.pace.set(BitRate{800});
  upload.until(upload.now + 1s);
  CHECK(upload.pace.wait(upload.now) == 1s);
  upload.pace.set(BitRate{8'000'000});
  CHECK(upload.pace.wait(upload.now) == 0s);
}

TEST_CASE("pace: no rate is no wait, and nothing is nothing", "[net]") {
  Pace pace;
  CHECK_FALSE(pace.is_stopped());
  pace.spend(1_GiB, Instant{1s});
  CHECK(pace.wait(Instant{1s}) == 0s);
  pace.set(BitRate{0});
  CHECK(pace.is_stopped());
}

TEST_CASE("pace: rates beyond every line do not overflow", "[net]") {
  Pace pace;
  pace.set(BitRate{8'000'000'000'000});
  CHECK(pace.step(128_KiB) == 128_KiB);
  pace.spend(1_GiB, Instant{1h});
  CHECK(pace.wait(Instant{1h}) == 0s);
  pace.set(BitRate{1});
  pace.spend(1_GiB, Instant{1h});
  CHECK(pace.wait(Instant{1h}) == 1s);
}
