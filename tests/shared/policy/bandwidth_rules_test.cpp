#include "shared/policy/bandwidth_rules.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;

namespace {

constexpr int kMon = 0, kTue = 1, kSat = 5, kSun = 6;
int at(int day, int hour, int minute = 0) { return day * kMinutesPerDay + hour * 60 + minute; }

BandwidthRules rules_of(const std::string& csv) {
  auto rules = parse_bandwidth_rules(csv);
  if (!rules) FAIL(rules.error().text());
  return *rules;
}

std::optional<BitRate> kb(std::int64_t n) { return BitRate{n * 8000}; }
std::optional<BitRate> download(const std::string& csv, const std::string& site,
                                const std::string& address, int minute) {
  return limits_at(rules_of(csv), site, address, minute).download;
}

// Marsaglia's xorshift64: the same rules on every run and machine.
struct Dice {
  std::uint64_t state = 0x9e3779b97f4a7c15;
  int below(int limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<int>(state % static_cast<std::uint64_t>(limit));
  }
};

BandwidthRule random_rule(Dice& dice) {
  BandwidthRule rule;
  if (dice.below(2) == 0) {
    Subnet subnet{.v6 = dice.below(3) == 0};
    const int bits = subnet.v6 ? 128 : 32;
    subnet.prefix = dice.below(bits + 1);
    // Few addresses, so that rules meet.
    for (int bit = 0; bit < subnet.prefix; ++bit)
      if (dice.below(4) == 0)
        subnet.address[static_cast<std::size_t>(bit / 8)] |=
            static_cast<std::uint8_t>(0x80 >> bit % 8);
    rule.subnet = subnet;
  }
  const char* const sites[] = {"", "north", "shop-7.x_~+"};
  rule.site = sites[dice.below(3)];
  if (dice.below(3) != 0) rule.download_kb = dice.below(2000);
  if (dice.below(3) != 0) rule.upload_kb = dice.below(4) == 0 ? kKilobytesMax : dice.below(50);
  rule.start = dice.below(kMinutesPerDay);
  do rule.end = dice.below(kMinutesPerDay + 1);
  while (rule.end == rule.start);
  rule.days = static_cast<std::uint8_t>(1 + dice.below(0x7f));
  return rule;
}

}  // namespace

TEST_CASE("bandwidth rules: as administrators have them", "[policy]") {
  const auto rules = rules_of(
      "\xef\xbb\xbfSubnet,Site,Download KB/s,Upload KB/s,Start,End,Days\r\n"
      ",north,250,125,08:00,18:00,mon-fri\r\n"
      "\r\n"
      "10.1.4.0/24, shop ,,0,22:00,6:00,\"Sat, sun\"\r\n"
      "\"2001:db8::/32\",,7,,00:00,24:00,*");
  REQUIRE(rules.size() == 3);
  CHECK(rules[0] == BandwidthRule{.subnet = {},
                                  .site = "north",
                                  .download_kb = 250,
                                  .upload_kb = 125,
                                  .start = 480,
                                  .end = 1080,
                                  .days = 0x1f});
  CHECK(rules[1].subnet->prefix == 24);
  CHECK(rules[1].site == "shop");
  CHECK_FALSE(rules[1].download_kb);
  CHECK(rules[1].upload_kb == 0);
  CHECK(rules[1].start == 22 * 60);
  CHECK(rules[1].end == 6 * 60);
  CHECK(rules[1].days == 0x60);
  CHECK(rules[2].subnet->v6);
  CHECK(rules[2].days == 0x7f);
  CHECK(to_csv(rules) ==
        "subnet,site,download KB/s,upload KB/s,start,end,days\n"
        ",north,250,125,08:00,18:00,mon-fri\n"
        "10.1.4.0/24,shop,,0,22:00,06:00,\"sat,sun\"\n"
        "2001:db8::/32,,7,,00:00,24:00,*\n");
  CHECK(rules_of("").empty());
}

TEST_CASE("bandwidth rules: days are written short and read back", "[policy]") {
  const auto [days, written] = GENERATE(table<const char*, const char*>({
      {"mon-sun", "*"},
      {"fri-mon", "\"mon,fri-sun\""},
      {"SUN", "sun"},
      {"tue,mon", "\"mon,tue\""},
      {"mon,wed-fri", "\"mon,wed-fri\""},
      {"sun-sat", "*"},
  }));
  const auto rules = rules_of(std::string(",,1,1,00:00,01:00,\"") + days + '"');
  REQUIRE(rules.size() == 1);
  CHECK(to_csv(rules[0]) == std::string(",,1,1,00:00,01:00,") + written);
}

TEST_CASE("bandwidth rules: an error names line and field", "[policy]") {
  const auto [line, says] = GENERATE(table<const char*, const char*>({
      {"10.0.0/24,,1,1,08:00,09:00,*", "line 3: field 'subnet': '10.0.0/24'"},
      {"10.0.0.0/33,,1,1,08:00,09:00,*", "field 'subnet'"},
      {"10.0.0.0/,,1,1,08:00,09:00,*", "field 'subnet'"},
      {"10.0.0.0/-1,,1,1,08:00,09:00,*", "field 'subnet'"},
      {"10.0.0.1/24,,1,1,08:00,09:00,*", "write 10.0.0.0/24"},
      {"2001:db8::1/32,,1,1,08:00,09:00,*", "write 2001:db8::/32"},
      {",no site,1,1,08:00,09:00,*", "field 'site'"},
      {",,-1,1,08:00,09:00,*", "field 'download KB/s': '-1'"},
      {",,1.5,1,08:00,09:00,*", "field 'download KB/s'"},
      {",,1,1000000001,08:00,09:00,*", "field 'upload KB/s'"},
      {",,1,1 MB,08:00,09:00,*", "field 'upload KB/s'"},
      {",,1,1,25:00,09:00,*", "field 'start': '25:00'"},
      {",,1,1,24:00,09:00,*", "field 'start'"},
      {",,1,1,8,09:00,*", "field 'start'"},
      {",,1,1,08:00,9:5,*", "field 'end'"},
      {",,1,1,08:00,24:01,*", "field 'end'"},
      {",,1,1,08:00,08:60,*", "field 'end'"},
      {",,1,1,08:00,08:00,*", "field 'end': a rule that ends when it starts"},
      {",,1,1,08:00,09:00,", "field 'days'"},
      {",,1,1,08:00,09:00,mon-", "field 'days'"},
      {",,1,1,08:00,09:00,moon", "field 'days'"},
      {",,1,1,08:00,09:00,\"sat,\"", "field 'days'"},
      {",,1,1,08:00,09:00,sat,sun", "8 fields instead of 7"},
      {",,1,1,08:00,09:00", "6 fields instead of 7"},
      {",\"north,1,1,08:00,09:00,*", "a quote is not closed"},
      {",\"north\"x,1,1,08:00,09:00,*", "text follows a closing quote"},
      {"subnet,site,download KB/s,upload KB/s,start,end,days", "field 'subnet'"},
  }));
  const auto rules =
      parse_bandwidth_rules(std::string(",,1,1,08:00,09:00,*\n\n") + line + "\n,,x,,,,\n");
  REQUIRE_FALSE(rules);
  CHECK(rules.error().kind() == ErrorKind::invalid);
  CHECK_THAT(rules.error().text(), Catch::StartsWith("line 3: ") && Catch::Contains(says));
}

TEST_CASE("bandwidth rules: a header of other columns or units is refused", "[policy]") {
  const auto rules =
      parse_bandwidth_rules("subnet,site,download Mbit/s,upload KB/s,start,end,days\n");
  REQUIRE_FALSE(rules);
  CHECK_THAT(rules.error().text(),
             Catch::StartsWith("line 1: ") && Catch::Contains("'download Mbit/s'"));
}

TEST_CASE("bandwidth rules: number and size are bounded", "[policy]") {
  std::string csv;
  for (std::size_t i = 0; i < kRulesMax; ++i) csv += ",,1,,00:00,01:00,*\n";
  CHECK(rules_of(csv).size() == kRulesMax);
  CHECK_THAT(parse_bandwidth_rules(csv + ",,1,,00:00,01:00,*\n").error().text(),
             Catch::StartsWith("line 10001: "));
  CHECK_FALSE(
      parse_bandwidth_rules(std::string(static_cast<std::size_t>(kRulesTextMax.count) + 1, '\n')));
}

TEST_CASE("bandwidth rules: when a rule is in force", "[policy]") {
  const std::string day = ",,5,,08:00,18:00,mon-fri";
  const std::string night = ",,5,,22:00,06:00,\"sat,sun\"";
  const auto [csv, minute, in_force] = GENERATE_COPY(table<std::string, int, bool>({
      {day, at(kMon, 7, 59), false},
      {day, at(kMon, 8), true},
      {day, at(kMon, 17, 59), true},
      {day, at(kMon, 18), false},
      {day, at(kSat, 12), false},
      {night, at(kSat, 5), false},  // That night began on Friday.
      {night, at(kSat, 22), true},
      {night, at(kSun, 5, 59), true},
      {night, at(kSun, 6), false},
      {night, at(kMon, 5, 59), true},  // Over the week's end.
      {night, at(kMon, 6), false},
      {",,5,,22:00,00:00,mon", at(kMon, 23, 59), true},
      {",,5,,22:00,00:00,mon", at(kTue, 0), false},
      {",,5,,00:00,24:00,mon", at(kMon, 23, 59), true},
      {",,5,,00:00,24:00,mon", at(kTue, 0), false},
  }));
  INFO(csv << " at " << minute);
  CHECK(download(csv, "north", "10.0.0.1", minute) == (in_force ? kb(5) : std::nullopt));
}

TEST_CASE("bandwidth rules: the most specific wins", "[policy]") {
  const std::string time = ",,00:00,24:00,*\n";
  const std::string general = ",,1" + time, site = ",north,2" + time, wide = "10.0.0.0/8,,3" + time,
                    narrow = "10.1.0.0/16,,4" + time, both = "10.0.0.0/8,north,5" + time,
                    narrow_both = "10.1.0.0/16,north,6" + time;
  const std::string all = general + site + wide + narrow + both + narrow_both;
  const std::string few = narrow + general + site + wide;
  const auto [csv, of_site, address, limit] =
      GENERATE_COPY(table<std::string, std::string, std::string, int>({
          {all, "north", "10.1.0.1", 6},
          {all, "north", "10.2.0.1", 5},
          {all, "north", "11.0.0.1", 2},
          {all, "south", "10.1.0.1", 4},
          {all, "south", "10.2.0.1", 3},
          {all, "south", "11.0.0.1", 1},
          {all, "north", "", 2},                    // No address: in no subnet.
          {all, "north", "fe80::1", 2},             // Of the other kind.
          {few, "north", "10.1.0.1", 4},            // Subnet before site.
          {both + narrow, "north", "10.1.0.1", 5},  // With the site before a longer prefix.
      }));
  INFO(of_site << ' ' << address);
  CHECK(download(csv, of_site, address, 0) == kb(limit));
}

TEST_CASE("bandwidth rules: a rule wins whole, ties take the lower limit", "[policy]") {
  // A site's rule without a limit excepts it from the general one.
  CHECK(limits_at(rules_of(",,1,1,00:00,24:00,*\n,north,,9,00:00,24:00,*"), "north", "", 0) ==
        BandwidthLimits{std::nullopt, kb(9)});
  const std::string a = ",north,7,,00:00,24:00,*\n", b = ",north,5,0,00:00,12:00,*\n";
  for (const std::string& csv : {a + b, b + a}) {
    CHECK(limits_at(rules_of(csv), "north", "", 0) == BandwidthLimits{kb(5), kb(0)});
    CHECK(limits_at(rules_of(csv), "north", "", at(kMon, 12)) ==
          BandwidthLimits{kb(7), std::nullopt});
  }
  // Only rules in force count: outside its hours the specific one leaves the general one.
  CHECK(download(",,3,,00:00,24:00,*\n,north,1,,08:00,09:00,*", "north", "", at(kMon, 9)) == kb(3));
}

TEST_CASE("bandwidth rules: what a site gets", "[policy]") {
  const auto rules =
      rules_of(",north,1,,00:00,24:00,*\n,south,2,,00:00,24:00,*\n10.0.0.0/8,,3,,00:00,24:00,*\n");
  CHECK(rules_of_site(rules, "north") == BandwidthRules{rules[0], rules[2]});
  CHECK(rules_of_site(rules, "east") == BandwidthRules{rules[2]});
}

TEST_CASE("bandwidth rules: the next change", "[policy]") {
  const auto next = [](const std::string& csv, int minute) {
    return next_change(rules_of(csv), "north", "10.0.0.1", minute);
  };
  CHECK(next("", 0) == std::nullopt);
  CHECK(next(",,5,,00:00,24:00,*", 77) == std::nullopt);  // Its edges change nothing.
  CHECK(next(",south,5,,08:00,18:00,*", 0) == std::nullopt);
  CHECK(next(",,5,,08:00,18:00,mon-fri", at(kMon, 0)) == 8 * 60);
  CHECK(next(",,5,,08:00,18:00,mon-fri", at(kMon, 8)) == 10 * 60);
  CHECK(next(",,5,,08:00,18:00,mon-fri", at(kSat, 8)) == 2 * kMinutesPerDay);
  CHECK(next(",,5,,22:00,06:00,sun", at(kSun, 23)) == 7 * 60);
  CHECK(next(",,5,,08:00,09:00,mon", at(kMon, 9)) == kMinutesPerWeek - 60);
}

TEST_CASE("bandwidth rules: property: written and read they are the same", "[policy]") {
  Dice dice;
  for (int round = 0; round < 300; ++round) {
    BandwidthRules rules;
    for (int left = dice.below(12); left > 0; --left) rules.push_back(random_rule(dice));
    const std::string csv = to_csv(rules);
    INFO(csv);
    REQUIRE(rules_of(csv) == rules);
    REQUIRE(to_csv(rules_of(csv)) == csv);
  }
}

TEST_CASE("bandwidth rules: property: the next change is the first minute that differs",
          "[policy]") {
  Dice dice;
  for (int round = 0; round < 60; ++round) {
    BandwidthRules rules;
    for (int left = 1 + dice.below(4); left > 0; --left) rules.push_back(random_rule(dice));
    const int minute = dice.below(kMinutesPerWeek);
    const auto now = limits_at(rules, "north", "0.0.0.0", minute);
    std::optional<int> expected;
    for (int wait = 1; wait < kMinutesPerWeek && !expected; ++wait)
      if (limits_at(rules, "north", "0.0.0.0", (minute + wait) % kMinutesPerWeek) != now)
        expected = wait;
    INFO(to_csv(rules) << "minute " << minute);
    REQUIRE(next_change(rules, "north", "0.0.0.0", minute) == expected);
  }
}
