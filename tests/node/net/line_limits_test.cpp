#include "node/net/line_limits.hpp"

#include <catch2/catch.hpp>

#include "shared/os/file.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t kMonday = 1'794'787'200'000'000'000;  // 2026-11-16 00:00 UTC.
const std::string kOffice = ",shop,100,0,08:00,18:00,mon-fri\n";

// Speaks in time since that Monday; the device's zone is an hour ahead of UTC.
struct Bench {
  LineLimits::Calendar calendar() {
    return {[this] { return WallTime{kMonday + now.count()}; }, [](WallTime) { return 1h; }};
  }
  std::unique_ptr<LineLimits> open() {
    return std::make_unique<LineLimits>(
        loop, scratch / "rules.json", calendar(),
        [this](const policy::BandwidthLimits& limits) { told.push_back(limits); });
  }
  static wire::SiteView site(std::optional<std::uint64_t> version = std::nullopt,
                             std::optional<std::string> rules = std::nullopt) {
    wire::SiteView view{.name = "shop"};
    view.rules_version = version;
    view.rules = std::move(rules);
    return view;
  }
  bool has_file() const { return os::exists(scratch / "rules.json"); }

  tests::Scratch scratch;
  net::Loop loop;
  Duration now = 9h;
  std::vector<policy::BandwidthLimits> told;
};

const policy::BandwidthLimits kNone{};
const policy::BandwidthLimits kLimited{BitRate{800'000}, BitRate{0}};

}  // namespace

TEST_CASE("line limits: the rules that were sent hold after a restart, without the origin",
          "[node]") {
  Bench bench;
  auto line = bench.open();
  CHECK(line->limits() == kNone);
  CHECK_FALSE(line->until());
  line->heard(Bench::site(7, kOffice), "10.0.0.1");
  REQUIRE(bench.told.size() == 1);
  CHECK(bench.told[0] == kLimited);
  CHECK(line->version() == 7);
  CHECK(line->until() == WallTime{kMonday + Duration{17h}.count()});
  CHECK(line->until_local() == "2026-11-16 18:00");
  CHECK(line->no_upload());
  CHECK_FALSE(line->no_download());
  CHECK(line->upload_forbidden().text().find("until 2026-11-16 18:00") != std::string::npos);

  bench.told.clear();
  line = bench.open();
  CHECK(line->limits() == kLimited);  // At once: no call says so.
  CHECK(bench.told.empty());
  CHECK(line->version() == 7);
  line->heard(Bench::site(7), "10.0.0.1");  // The origin sends what is known no second time.
  CHECK(line->limits() == kLimited);
  CHECK(bench.told.empty());
}

TEST_CASE("line limits: rules that are gone at the origin are gone here", "[node]") {
  Bench bench;
  auto line = bench.open();
  line->heard(Bench::site(7, kOffice), "10.0.0.1");
  REQUIRE(bench.has_file());
  line->heard(Bench::site(), "10.0.0.1");
  CHECK(bench.told.back() == kNone);
  CHECK_FALSE(line->version());
  CHECK_FALSE(bench.has_file());
}

TEST_CASE("line limits: the address and the site choose the rule", "[node]") {
  Bench bench;
  const auto line = bench.open();
  line->heard(Bench::site(7, "10.0.4.0/24,,250,,00:00,24:00,*\n,depot,50,,00:00,24:00,*\n"), "");
  CHECK(line->limits() == kNone);
  line->heard(Bench::site(7), "10.0.4.9");
  CHECK(line->limits().download == BitRate{2'000'000});
  line->heard(Bench::site(7), "");  // Not known now: where it was.
  CHECK(line->limits().download == BitRate{2'000'000});
  line->heard(Bench::site(7), "10.0.5.9");
  CHECK(line->limits() == kNone);
  auto moved = Bench::site(7);
  moved.name = "depot";
  line->heard(moved, "10.0.5.9");
  CHECK(line->limits().download == BitRate{400'000});
  CHECK(bench.open()->limits().download == BitRate{400'000});
}

TEST_CASE("line limits: a rule begins and ends by the clock, without a word from the origin",
          "[node]") {
  Bench bench;
  const Instant start = bench.loop.now();
  // 0.3 s before the rule begins, by a clock that runs.
  auto calendar = bench.calendar();
  calendar.now = [&] {
    return WallTime{kMonday + Duration{7h - 300ms + (bench.loop.now() - start)}.count()};
  };
  LineLimits line(bench.loop, bench.scratch / "rules.json", calendar,
                  [&](const policy::BandwidthLimits& limits) { bench.told.push_back(limits); });
  line.heard(Bench::site(7, kOffice), "10.0.0.1");
  CHECK(bench.told.empty());
  CHECK(line.until_local() == "2026-11-16 08:00");
  bench.loop.run_until([&] { return !bench.told.empty(); });
  CHECK(bench.loop.now() - start >= 300ms);
  CHECK(bench.told.back() == kLimited);
  CHECK(line.until_local() == "2026-11-16 18:00");
}

TEST_CASE("line limits: what cannot be read does not count", "[node]") {
  Bench bench;
  const std::string good = R"({"address":"","csv":",,1,,00:00,24:00,*","site":"shop","version":7})";
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string("{}"),
        R"({"address":"","csv":"1,2","site":"shop","version":7})" + std::string(),
        good.substr(0, good.find("7}")) + "-7}"}) {
    CAPTURE(text);
    REQUIRE(os::write_file(bench.scratch / "rules.json", as_view(text)));
    const auto line = bench.open();
    CHECK_FALSE(line->version());
    CHECK(line->limits() == kNone);
  }
  REQUIRE(os::write_file(bench.scratch / "rules.json", as_view(good)));
  const auto line = bench.open();
  CHECK(line->version() == 7);
  // From an origin that speaks of things this device does not know: the old ones stay in force.
  line->heard(Bench::site(8, "subnet,site,speed\n"), "10.0.0.1");
  CHECK(line->version() == 7);
  CHECK(line->limits().download == BitRate{8000});
}
