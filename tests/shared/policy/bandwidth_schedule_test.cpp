#include "shared/policy/bandwidth_schedule.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// 2026-11-16 00:00 UTC, a Monday.
constexpr std::int64_t kMonday = 1'794'787'200;

WallTime at(Duration since_monday) { return {kMonday * kSecond + since_monday.count()}; }

BandwidthRules rules(const std::string& csv) { return parse_bandwidth_rules(csv).value(); }

// Speaks in time since that Monday, UTC.
struct Said {
  std::optional<std::int64_t> download_kb;
  std::optional<Duration> until;
  bool operator==(const Said&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Said& said) {
  out << (said.download_kb ? std::to_string(*said.download_kb) : "no limit") << " until ";
  return said.until ? out << *said.until / 1s << " s" : out << "ever";
}
Said ask(const std::string& csv, Duration now, const UtcOffset& offset) {
  const auto found = forecast(rules(csv), "shop", "10.0.0.1", at(now), offset);
  Said said;
  if (found.limits.download) said.download_kb = found.limits.download->bits_per_second / 8000;
  if (found.until) said.until = Duration{found.until->ns - at(0s).ns};
  return said;
}

// `before` until `when`, then `after`.
UtcOffset changing(Duration when, Duration before, Duration after) {
  return [=](WallTime time) { return time < at(when) ? before : after; };
}
UtcOffset always(Duration offset) {
  return [offset](WallTime) { return offset; };
}

const std::string kOffice = ",,100,,08:00,18:00,mon-fri\n";

}  // namespace

TEST_CASE("bandwidth schedule: the local minute counts, and seconds do not", "[policy]") {
  CHECK(ask(kOffice, 7h, always(0h)) == Said{{}, 8h});
  CHECK(ask(kOffice, 7h + 59min + 59s, always(0h)) == Said{{}, 8h});
  CHECK(ask(kOffice, 8h, always(0h)) == Said{100, 18h});
  CHECK(ask(kOffice, 8h + 1ns, always(0h)) == Said{100, 18h});
  CHECK(ask(kOffice, 7h, always(1h)) == Said{100, 17h});
  CHECK(ask(kOffice, 2h, always(5h + 45min)) == Said{{}, 2h + 15min});
  CHECK(ask(kOffice, 12h, always(-5h)) == Said{{}, 13h});
  // Sunday evening in UTC is Monday in the east, and Monday morning is Sunday in the west.
  CHECK(ask(kOffice, -3h, always(12h)) == Said{100, 6h});
  CHECK(ask(kOffice, 8h, always(-10h)) == Said{{}, 18h});
}

TEST_CASE("bandwidth schedule: over the weekend, over the week's end, and for good", "[policy]") {
  CHECK(ask(kOffice, 4 * 24h + 20h, always(0h)) == Said{{}, 7 * 24h + 8h});
  CHECK(ask(",,100,,00:00,24:00,*\n", 5h, always(0h)) == Said{100, {}});
  CHECK(ask("", 5h, always(0h)) == Said{{}, {}});
  CHECK(ask("10.9.0.0/16,,100,,08:00,18:00,*\n", 5h, always(0h)) == Said{{}, {}});
  // The same limit follows itself: nothing changes at midnight.
  CHECK(ask(",,100,,00:00,24:00,mon\n,,100,,00:00,12:00,tue\n", 5h, always(0h)) == Said{100, 36h});
}

TEST_CASE("bandwidth schedule: summer time begins", "[policy]") {
  // At 01:00 UTC local time goes from 02:00 to 03:00.
  const auto berlin = changing(1h, 1h, 2h);
  CHECK(ask(",,100,,08:00,18:00,*\n", 0h, berlin) == Said{{}, 6h});
  CHECK(ask(",,100,,01:00,18:00,*\n", 0h, berlin) == Said{100, 16h});
  // The rule starts in the hour that is left out: it starts when that hour would have.
  CHECK(ask(",,100,,02:30,05:00,*\n", 0h, berlin) == Said{{}, 1h});
  CHECK(ask(",,100,,02:30,05:00,*\n", 1h, berlin) == Said{100, 3h});
  // It lies in that hour as a whole: today it does not happen.
  CHECK(ask(",,100,,02:10,02:50,*\n", 0h, berlin) == Said{{}, 24h + 10min});
  CHECK(ask(",,100,,00:00,02:30,*\n", 0h, berlin) == Said{100, 1h});
}

TEST_CASE("bandwidth schedule: summer time ends", "[policy]") {
  // At 01:00 UTC local time goes from 03:00 back to 02:00.
  const auto berlin = changing(1h, 2h, 1h);
  CHECK(ask(",,100,,08:00,18:00,*\n", 0h, berlin) == Said{{}, 7h});
  // The hour comes twice, and so does the rule in it.
  const std::string early = ",,100,,02:10,02:20,*\n";
  CHECK(ask(early, 0h, berlin) == Said{{}, 10min});
  CHECK(ask(early, 20min, berlin) == Said{{}, 1h + 10min});
  CHECK(ask(early, 1h + 20min, berlin) == Said{{}, 25h + 10min});
  // It ends at 03:00, which is 02:00 again: it goes on for an hour.
  CHECK(ask(",,100,,00:00,03:00,*\n", 0h, berlin) == Said{100, 2h});
  CHECK(ask(",,100,,02:30,03:00,*\n", 40min, berlin) == Said{100, 1h});
}

TEST_CASE("bandwidth schedule: a clock that never rests ends the forecast", "[policy]") {
  const UtcOffset restless = [](WallTime time) {
    return Duration{time.ns / (3600 * kSecond) % 2 == 0 ? 0s : 1s};
  };
  const auto said = ask(kOffice, 5 * 24h, restless);
  REQUIRE(said.until);
  CHECK(*said.until == 5 * 24h + 8h);
}

TEST_CASE("bandwidth schedule: between now and the forecast's end nothing changes", "[policy]") {
  const std::string csv = kOffice + ",shop,7,,12:00,13:00,sun\n,shop,50,,22:30,03:15,\"tue,sat\"\n";
  for (const auto& zone : {changing(6 * 24h + 1h, 2h, 1h), changing(6 * 24h + 1h, 1h, 2h),
                           changing(60h + 30min, -3h, -2h - 30min)}) {
    Duration now = 0s;
    for (int changes = 0; now < 8 * 24h; ++changes) {
      REQUIRE(changes < 100);
      const Said said = ask(csv, now, zone);
      REQUIRE(said.until);
      REQUIRE(*said.until > now);
      for (Duration t = now; t < *said.until; t += 5min) {
        CAPTURE(t / 1min);
        REQUIRE(ask(csv, t, zone) == said);
      }
      REQUIRE(ask(csv, *said.until, zone).download_kb != said.download_kb);
      now = *said.until;
    }
  }
}
