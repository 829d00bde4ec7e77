#include "node/net/snoozing.hpp"

#include <catch2/catch.hpp>

#include "shared/os/file.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;

namespace {

constexpr WallTime kStart{1'800'000'000'000'000'000};
constexpr std::int64_t kStartMs = kStart.ns / 1'000'000;
WallTime after(Duration duration) { return {kStart.ns + duration.count()}; }

struct Bench {
  lamina::tests::Scratch scratch;
  std::string path = scratch / "snooze.json";
};

}  // namespace

TEST_CASE("snoozing: it lasts as long as was said, also over a restart", "[node]") {
  Bench bench;
  {
    Snoozing snoozing(bench.path);
    CHECK(snoozing.left(kStart) == 0s);
    REQUIRE(snoozing.snooze(2h, kStart));
    CHECK(snoozing.left(after(30min)) == 90min);
  }
  Snoozing again(bench.path);
  CHECK(again.left(after(1h)) == 1h);
  CHECK(again.said(after(1h)) == wire::Snooze{0, kStartMs + 7'200'000});
  CHECK(again.left(after(3h)) == 0s);
  CHECK(again.said(after(3h)) == wire::Snooze{});
}

TEST_CASE("snoozing: at most a day, whatever the clock says", "[node]") {
  Bench bench;
  Snoozing snoozing(bench.path);
  CHECK(snoozing.snooze(25h, kStart).error().kind() == ErrorKind::invalid);
  CHECK(snoozing.snooze(-1s, kStart).error().kind() == ErrorKind::invalid);
  REQUIRE(snoozing.snooze(24h, kStart));
  CHECK(snoozing.left(after(-1000h)) == 24h);
}

TEST_CASE("snoozing: whoever spoke last counts", "[node]") {
  Bench bench;
  Snoozing snoozing(bench.path);
  // The origin's clock is an hour ahead of this one.
  const std::int64_t there = kStartMs + 3'600'000;
  CHECK(snoozing.heard({5, there + 7'200'000}, there, kStart));
  CHECK(snoozing.left(kStart) == 2h);
  CHECK_FALSE(snoozing.heard({5, there + 7'200'000}, there, after(1h)));
  REQUIRE(snoozing.snooze(0s, after(1h)));
  CHECK(snoozing.left(after(1h)) == 0s);
  CHECK(snoozing.said(after(1h)).number == 5);
  REQUIRE(snoozing.snooze(3h, after(1h)));
  CHECK(snoozing.heard({6, 0}, there, after(2h)));
  CHECK(snoozing.left(after(2h)) == 0s);
  CHECK(Snoozing(bench.path).said(after(2h)).number == 6);
  CHECK(snoozing.heard({7, there + 1'000'000'000'000}, there, kStart));
  CHECK(snoozing.left(kStart) == 24h);
}

TEST_CASE("snoozing: a file that is broken is as good as none", "[node]") {
  Bench bench;
  REQUIRE(os::write_file(bench.path, to_buffer("{")));
  Snoozing snoozing(bench.path);
  CHECK(snoozing.left(kStart) == 0s);
  REQUIRE(snoozing.snooze(1h, kStart));
  CHECK(Snoozing(bench.path).left(kStart) == 1h);
}
