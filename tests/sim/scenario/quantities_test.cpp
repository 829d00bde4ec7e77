#include "sim/scenario/quantities.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::sim;
using namespace std::chrono_literals;

namespace {

template <class T>
std::string wrong(const Result<T>& result) {
  return result ? "nothing is wrong" : result.error().text();
}

}  // namespace

TEST_CASE("quantities: shares are parts of one or percent, finite and in their range",
          "[quantities]") {
  const Range<double> all{0, 1};
  CHECK(parse_share("0.05", all) == 0.05);
  CHECK(parse_share("5%", all) == 0.05);
  CHECK(parse_share("12.5 %", all) == 0.125);
  CHECK(wrong(parse_share("nan", all)) == "'nan' is no number like 0.05 or 5%");
  CHECK(wrong(parse_share("inf", all)) == "'inf' is no number like 0.05 or 5%");
  CHECK(wrong(parse_share("nan%", all)) == "'nan%' is no number like 0.05 or 5%");
  CHECK(wrong(parse_share("%", all)) == "'%' is no number like 0.05 or 5%");
  CHECK(wrong(parse_share("1e999", all)) == "'1e999' is no number like 0.05 or 5%");
  CHECK(wrong(parse_share("-1%", all)) == "'-1%' is too little: at least 0");
  CHECK(wrong(parse_share("60", all)) == "'60' is more than all: write '60%' for percent");
  CHECK(wrong(parse_share("600", all)) == "'600' is too much: at most 1");
}

TEST_CASE("quantities: numbers with units say what is allowed", "[quantities]") {
  CHECK(parse_rate("20Mbit", kLineRates) == BitRate{20'000'000});
  CHECK(wrong(parse_rate("0Mbit", kLineRates)) == "'0Mbit' is too little: at least 1000bit/s");
  CHECK(wrong(parse_rate("fast", kLineRates)) == "'fast' is not a quantity like '20 Mbit/s'");
  const std::string units = "bit/s, kbit/s, kbit, Mbit/s, Mbit, Gbit/s, Gbit, KB/s, MB/s";
  CHECK(wrong(parse_rate("20", kLineRates)) == "'20' has no unit: it is one of " + units);
  CHECK(wrong(parse_rate("20 Mbps", kLineRates)) == "'20 Mbps' has none of the units " + units);
  CHECK(wrong(parse_rate("-20Mbit", kLineRates)) == "'-20Mbit' is negative: it cannot be");
  CHECK(wrong(parse_rate("999999999Gbit", kLineRates)) ==
        "'999999999Gbit' is too much: at most 10000000Mbit");
  const Range<Duration> day{1min, 24h};
  CHECK(parse_period("8h", day) == Duration(8h));
  CHECK(wrong(parse_period("-5m", day)) == "'-5m' is negative: it cannot be");
  CHECK(wrong(parse_period("2d", day)) == "'2d' is too much: at most 24h");
  CHECK(wrong(parse_period("1s", day)) == "'1s' is too little: at least 1m");
  CHECK(wrong(parse_count("1e9", {1, 10})) == "'1e9' is no whole number");
  CHECK(wrong(parse_count("99999999999999999999", {1, 10})) ==
        "'99999999999999999999' is out of range: from 1 to 10");
}

TEST_CASE("quantities: distances from UTC read back", "[quantities]") {
  for (const char* text : {"+01:00", "-03:30", "+14:00", "+00:00"}) {
    const auto offset = parse_utc_offset(text);
    REQUIRE(offset);
    CHECK(text_of_utc_offset(*offset) == text);
  }
  CHECK(parse_utc_offset("Z") == Duration(0));
  for (const char* text : {"1", "01:00", "+14:01", "+1", "Europe/Berlin", ""})
    CHECK_FALSE(parse_utc_offset(text));
}

TEST_CASE("quantities: a time of the day is the first one of the run", "[quantities]") {
  Run run;
  run.start = {(17 * 60 + 30) * 60'000'000'000LL};  // 17:30 UTC...
  run.utc_offset = 1h;                              // ...is 18:30 here.
  CHECK(parse_run_time("18:30", run) == Instant{});
  CHECK(parse_run_time("22:00", run) == Instant{3h + 30min});
  CHECK(parse_run_time("04:00", run) == Instant{9h + 30min});
  CHECK(parse_run_time("26h", run) == Instant{26h});
  CHECK_FALSE(parse_run_time("25:00", run));
  CHECK_FALSE(parse_run_time("soon", run));
}
