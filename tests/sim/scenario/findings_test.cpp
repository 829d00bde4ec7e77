#include "sim/scenario/findings.hpp"

#include <catch2/catch.hpp>

using namespace lamina::sim;

TEST_CASE("findings: the nearest name is suggested, a far one is not", "[findings]") {
  const std::vector<std::string_view> known{"uplink", "downlink", "duration"};
  CHECK(nearest("uplnk", known) == "uplink");
  CHECK(nearest("UPLINK", known) == "uplink");
  CHECK(nearest("durtion", known) == "duration");
  CHECK(nearest("weather", known).empty());
  CHECK(nearest("", known).empty());
  CHECK(nearest(std::string(10'000, 'x'), known).empty());
  CHECK(suggestion("weather", known) == "; known are uplink, downlink, duration");
  CHECK(suggestion("weather", {}).empty());
}

TEST_CASE("findings: those of a file stand together, by line", "[findings]") {
  Findings findings;
  findings.add({"b", 9, 1}, "third");
  findings.add({"a", 1, 1}, "fourth");
  findings.add({"b", 2, 7}, "second");
  findings.add({"b", 2, 3}, "first");
  CHECK(findings.text() == "b:2:3: first\nb:2:7: second\nb:9:1: third\na:1:1: fourth\n");
}

TEST_CASE("findings: only so many are kept, the others are counted", "[findings]") {
  Findings findings;
  for (std::size_t i = 0; i < Findings::kMax + 3; ++i) findings.add({"f", i + 1, 0}, "wrong");
  CHECK(findings.list().size() == Findings::kMax);
  CHECK(findings.left_out() == 3);
  CHECK(findings.text().ends_with("f:50: wrong\nand 3 more\n"));
}
