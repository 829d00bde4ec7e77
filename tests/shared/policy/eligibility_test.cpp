#include "shared/policy/eligibility.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;
using namespace std::chrono_literals;

namespace {
Instant at(Duration since_start) { return Instant{since_start}; }
using Facts = Eligibility::Facts;
using Rules = Eligibility::Rules;
}  // namespace

TEST_CASE("eligibility: each fact and each rule", "[policy]") {
  struct Row {
    const char* what;
    Facts facts;
    Rules rules;
    std::optional<Unfit> reason;
  };
  const Row rows[] = {
      {"nothing is known", {}, {}, std::nullopt},
      {"all is well",
       {.on_battery = false,
        .metered = false,
        .wireless = false,
        .cpu_percent = 80,
        .disk_free = 1_GiB},
       {},
       std::nullopt},
      {"the user says no", {.user_allows = false}, {}, Unfit::user},
      {"battery", {.on_battery = true}, {}, Unfit::battery},
      {"battery is allowed", {.on_battery = true}, {.on_battery = true}, std::nullopt},
      {"metered", {.metered = true}, {}, Unfit::metered},
      {"metered is allowed", {.metered = true}, {.on_metered = true}, std::nullopt},
      {"wireless", {.wireless = true}, {}, Unfit::wireless},
      {"wireless is allowed", {.wireless = true}, {.on_wireless = true}, std::nullopt},
      {"little disk", {.disk_free = Bytes{(1 << 30) - 1}}, {}, Unfit::disk},
      {"another limit for the disk",
       {.disk_free = Bytes{1000}},
       {.disk_free_min = Bytes{1000}},
       std::nullopt},
      {"busy for a moment only", {.cpu_percent = 100}, {}, std::nullopt},
      {"busy, without patience", {.cpu_percent = 81}, {.cpu_patience = 0s}, Unfit::cpu},
      {"another limit for the processor",
       {.cpu_percent = 81},
       {.cpu_percent_max = 90, .cpu_patience = 0s},
       std::nullopt},
      {"the strongest reason is told",
       {.on_battery = true, .metered = true, .wireless = true, .disk_free = Bytes{0}},
       {},
       Unfit::disk},
      {"the user's word before all",
       {.user_allows = false, .on_battery = true, .disk_free = Bytes{0}},
       {.on_battery = true},
       Unfit::user},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(Eligibility(row.rules).look(row.facts, at(0s)) == row.reason);
  }
}

TEST_CASE("eligibility: a load counts when it lasts, and so does its end", "[policy]") {
  Eligibility eligibility({.cpu_percent_max = 80, .cpu_patience = 30s});
  const auto look = [&](Duration t, std::optional<int> percent) {
    return eligibility.look({.cpu_percent = percent}, at(t)) == Unfit::cpu;
  };
  CHECK_FALSE(look(0s, 95));
  CHECK_FALSE(look(29s, 95));
  CHECK_FALSE(look(29500ms, 10));  // A break: the patience begins anew.
  CHECK_FALSE(look(31s, 95));
  CHECK(look(61s, 81));
  CHECK(look(62s, 20));
  CHECK(look(91s, 20));
  CHECK(look(91500ms, 90));
  CHECK(look(92s, std::nullopt));  // Unknown is not busy.
  CHECK_FALSE(look(122s, std::nullopt));
}

TEST_CASE("eligibility: every reason has a name of its own", "[policy]") {
  std::vector<std::string_view> names;
  for (const Unfit reason :
       {Unfit::user, Unfit::disk, Unfit::battery, Unfit::metered, Unfit::wireless, Unfit::cpu})
    names.push_back(name_of(reason));
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
}
