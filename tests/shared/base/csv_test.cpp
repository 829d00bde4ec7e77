#include "shared/base/csv.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

TEST_CASE("csv: fields keep their columns, quotes and blanks do not", "[csv]") {
  const auto fields = split_csv_line(R"(north, "Berlin, ""Mitte""" ,, 20Mbit)");
  REQUIRE(fields);
  CHECK(*fields ==
        std::vector<CsvField>{{"north", 1}, {"Berlin, \"Mitte\"", 8}, {"", 29}, {"20Mbit", 31}});
  CHECK(*split_csv_line("a,") == std::vector<CsvField>{{"a", 1}, {"", 3}});
  CHECK(*split_csv_line("") == std::vector<CsvField>{{"", 1}});
}

TEST_CASE("csv: a bad quote is told with its column", "[csv]") {
  const auto open = split_csv_line(R"(a,"b)");
  REQUIRE_FALSE(open);
  CHECK(open.error().text == "a quote is not closed");
  CHECK(open.error().column == 3);
  const auto follows = split_csv_line(R"(a,"b"c)");
  REQUIRE_FALSE(follows);
  CHECK(follows.error().text == "text follows a closing quote");
  CHECK(follows.error().column == 6);
}

TEST_CASE("csv: lines are numbered with the blank ones, without mark and ends", "[csv]") {
  CsvLines lines("\xef\xbb\xbfone\r\n \t\n\ntwo");
  REQUIRE(lines.next());
  CHECK(lines.text() == "one");
  CHECK(lines.number() == 1);
  REQUIRE(lines.next());
  CHECK(lines.text() == "two");
  CHECK(lines.number() == 4);
  CHECK_FALSE(lines.next());
}

TEST_CASE("csv: what is written reads back", "[csv]") {
  for (const std::string text : {"", "plain", "a,b", "say \"so\"", " blanks ", "\"", "\t"}) {
    CAPTURE(text);
    const auto fields = split_csv_line(csv_field(text) + ",x");
    REQUIRE(fields);
    REQUIRE(fields->size() == 2);
    CHECK(fields->front().text == text);
  }
}
