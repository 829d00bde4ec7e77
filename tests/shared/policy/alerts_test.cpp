#include "shared/policy/alerts.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {

using Kind = Alerts::Kind;
enum class Said { nothing, begins, ends };

constexpr Duration kDay = 24h;
constexpr Bytes kTerabyte{1'000'000'000'000};

Alerts::Certificate certificate(Duration left) { return {"server", left}; }
Alerts::Disk disk(Bytes free, Bytes total) { return {"origin", free, total}; }
Alerts::Device device(Duration silent, std::optional<Duration> left = std::nullopt) {
  return {"device:ab", silent, left};
}
Alerts::Site site(bool has_work, bool has_holder) { return {"north", has_work, has_holder, true}; }

Alerts::Seeder seeder(bool is_up) { return {"east", is_up}; }

using Level = Alerts::Quota::Level;
Alerts::Quota quota(Level level) { return {"collection:tills", level, "full"}; }

}  // namespace

TEST_CASE("alerts: a table of what is so and what is said", "[policy]") {
  struct Step {
    Duration when;
    Alerts::Fact fact;
    Said said;
  };
  struct Case {
    const char* name;
    Kind kind;
    std::string object;
    std::vector<Step> steps;
  };
  const Case test = GENERATE(values<Case>({
      {"a certificate of the origin begins 30 days before its end, and ends with a new one",
       Kind::certificate_expiring,
       "certificate:server",
       {{0s, certificate(31 * kDay), Said::nothing},
        {1s, certificate(30 * kDay), Said::nothing},
        {2s, certificate(30 * kDay - 1s), Said::begins},
        {3s, certificate(-1s), Said::nothing},
        {4s, certificate(730 * kDay), Said::ends},
        {5s, certificate(730 * kDay), Said::nothing}}},
      {"a small disk is low below a twentieth, until half as much again is free",
       Kind::disk_low,
       "origin",
       {{0s, disk(50_MiB, 1000_MiB), Said::nothing},
        {1s, disk(49_MiB, 1000_MiB), Said::begins},
        {2s, disk(50_MiB, 1000_MiB), Said::nothing},
        {3s, disk(74_MiB, 1000_MiB), Said::nothing},
        {4s, disk(75_MiB, 1000_MiB), Said::ends},
        {5s, disk(60_MiB, 1000_MiB), Said::nothing}}},
      {"a large disk is low below 20 GiB",
       Kind::disk_low,
       "origin",
       {{0s, disk(20_GiB, kTerabyte), Said::nothing},
        {1s, disk(19_GiB, kTerabyte), Said::begins},
        {2s, disk(29_GiB, kTerabyte), Said::nothing},
        {3s, disk(30_GiB, kTerabyte), Said::ends}}},
      {"a device is stale after a week, until it polls",
       Kind::device_stale,
       "device:ab",
       {{0s, device(7 * kDay - 1s), Said::nothing},
        {1s, device(7 * kDay), Said::begins},
        {2s, device(9 * kDay), Said::nothing},
        {3s, device(5s), Said::ends}}},
      {"a device that polls and does not renew",
       Kind::certificate_expiring,
       "device:ab",
       {{0s, device(1min, 4 * kDay), Said::nothing},
        {1s, device(1min, 3 * kDay - 1s), Said::begins},
        {2s, device(1min), Said::nothing},
        {3s, device(1min, 7 * kDay), Said::ends}}},
      {"a device that is off renews later: no alert for its certificate",
       Kind::certificate_expiring,
       "device:ab",
       {{0s, device(3h, 1h), Said::nothing},
        {1s, device(1min, 1h), Said::begins},
        {2s, device(2h, 1h), Said::ends}}},
      {"a site with work and no holder for a minute",
       Kind::reflector_down,
       "site:north",
       {{0s, site(true, false), Said::nothing},
        {59s, site(true, false), Said::nothing},
        {60s, site(true, false), Said::begins},
        {70s, site(true, false), Said::nothing},
        {80s, site(true, true), Said::ends}}},
      {"a holder in between, or no work, begins the minute anew",
       Kind::reflector_down,
       "site:north",
       {{0s, site(true, false), Said::nothing},
        {50s, site(true, true), Said::nothing},
        {51s, site(true, false), Said::nothing},
        {100s, site(false, false), Said::nothing},
        {101s, site(true, false), Said::nothing},
        {160s, site(true, false), Said::nothing},
        {161s, site(true, false), Said::begins},
        {162s, site(false, false), Said::ends}}},
      {"a seeder that is silent for a minute",
       Kind::seeder_silent,
       "seeder:east",
       {{0s, seeder(true), Said::nothing},
        {10s, seeder(false), Said::nothing},
        {69s, seeder(false), Said::nothing},
        {70s, seeder(false), Said::begins},
        {90s, seeder(false), Said::nothing},
        {91s, seeder(true), Said::ends}}},
      {"a seeder that was removed begins anew",
       Kind::seeder_silent,
       "seeder:east",
       {{0s, seeder(false), Said::nothing},
        {60s, seeder(false), Said::begins},
        {61s, Alerts::Gone{"seeder:east"}, Said::ends},
        {62s, seeder(false), Said::nothing},
        {122s, seeder(false), Said::begins}}},
      {"a quota warns between its levels",
       Kind::quota_warning,
       "collection:tills",
       {{0s, quota(Level::ok), Said::nothing},
        {1s, quota(Level::warning), Said::begins},
        {2s, quota(Level::warning), Said::nothing},
        {3s, quota(Level::ok), Said::ends},
        {4s, quota(Level::ok), Said::nothing}}},
      {"a quota at its hard level",
       Kind::quota_reached,
       "collection:tills",
       {{0s, quota(Level::hard), Said::begins},
        {1s, quota(Level::hard), Said::nothing},
        {2s, quota(Level::ok), Said::ends}}},
      {"what is gone has no alert",
       Kind::device_stale,
       "device:ab",
       {{0s, device(8 * kDay), Said::begins},
        {1s, Alerts::Gone{"device:cd"}, Said::nothing},
        {2s, Alerts::Gone{"device:ab"}, Said::ends},
        {3s, Alerts::Gone{"device:ab"}, Said::nothing}}},
  }));
  INFO(test.name);
  Alerts alerts({}, {});
  for (const Step& step : test.steps) {
    INFO("at " << to_text(step.when));
    const auto actions = alerts.on(step.fact, Instant{step.when});
    if (step.said == Said::nothing) {
      CHECK(actions.empty());
      continue;
    }
    REQUIRE(actions.size() == 1);
    if (step.said == Said::begins) {
      const auto* begin = std::get_if<Alerts::Begin>(&actions[0]);
      REQUIRE(begin != nullptr);
      CHECK(begin->kind == test.kind);
      CHECK(begin->object == test.object);
      CHECK_FALSE(begin->text.empty());
    } else {
      CHECK(actions[0] == Alerts::Action(Alerts::End{test.kind, test.object}));
    }
    CHECK(alerts.active().contains({test.kind, test.object}) == (step.said == Said::begins));
  }
}

TEST_CASE("alerts: what had begun before a restart does not begin again, and ends", "[policy]") {
  Alerts alerts({}, {{Kind::disk_low, "origin"}, {Kind::device_stale, "device:ab"}});
  CHECK(alerts.on(disk(1_MiB, 1000_MiB), Instant{}).empty());
  CHECK(alerts.on(disk(900_MiB, 1000_MiB), Instant{}).size() == 1);
  CHECK(alerts.on(device(8 * kDay), Instant{}).empty());
  CHECK(alerts.on(device(1s), Instant{}).size() == 1);
  CHECK(alerts.active().empty());
}

TEST_CASE("alerts: every kind has a name of its own", "[policy]") {
  std::set<std::string_view> names;
  for (const Kind kind : Alerts::kKinds) names.insert(Alerts::name_of(kind));
  CHECK(names.size() == std::size(Alerts::kKinds));
  CHECK_FALSE(names.contains("unknown"));
}
