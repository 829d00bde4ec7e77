#include "shared/policy/week.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::policy;

TEST_CASE("week: days are read as written, also over Sunday", "[week]") {
  CHECK(parse_weekdays("*") == kEveryDay);
  CHECK(parse_weekdays("mon-fri") == 0x1f);
  CHECK(parse_weekdays("Sat, sun") == 0x60);
  CHECK(parse_weekdays("fri-mon") == 0x71);
  CHECK(parse_weekdays("mon,wed-fri") == 0x1d);
  for (const char* text : {"", "monday", "mon-", "-mon", "mon,,tue", "mon;tue", "7"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_weekdays(text));
  }
}

TEST_CASE("week: every set of days reads back from its text", "[week]") {
  for (int days = 1; days <= kEveryDay; ++days) {
    const auto text = text_of_weekdays(static_cast<Weekdays>(days));
    CAPTURE(text);
    CHECK(parse_weekdays(text) == static_cast<Weekdays>(days));
  }
}

TEST_CASE("week: times of the day end where they are told to", "[week]") {
  CHECK(parse_time_of_day("8:30", 1439) == 510);
  CHECK(parse_time_of_day("00:00", 1439) == 0);
  CHECK(parse_time_of_day("24:00", 1440) == 1440);
  CHECK(text_of_time_of_day(510) == "08:30");
  for (const char* text :
       {"24:00", "24:01", "8", "8:5", "8:60", ":30", "008:30", "4444444444:00", "8:30 ", "+8:30"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_time_of_day(text, 1439));
  }
}
