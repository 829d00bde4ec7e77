#include "shared/metrics/exposition.hpp"

#include <catch2/catch.hpp>
#include <limits>

#include "tests/support/exposition_check.hpp"

using namespace lamina;
using namespace lamina::metrics;

TEST_CASE("exposition: families and samples come in order, each with help and type", "[metrics]") {
  Exposition out;
  out.gauge("zebra", "The last.", {{{}, -3}});
  out.counter("bytes_total", "Bytes.",
              {{{{"site", "south"}}, 2}, {{{"site", "north"}, {"source", "lan"}}, 1}});
  out.gauge("empty", "Nothing is known.", {});
  CHECK(out.text() ==
        "# HELP bytes_total Bytes.\n"
        "# TYPE bytes_total counter\n"
        "bytes_total{site=\"north\",source=\"lan\"} 1\n"
        "bytes_total{site=\"south\"} 2\n"
        "# HELP empty Nothing is known.\n"
        "# TYPE empty gauge\n"
        "# HELP zebra The last.\n"
        "# TYPE zebra gauge\n"
        "zebra -3\n");
  CHECK(check_exposition(out.text()).findings.empty());
}

TEST_CASE("exposition: quotes, backslashes and newlines are escaped", "[metrics]") {
  Exposition out;
  out.gauge("up", "One \\ and\na line.", {{{{"name", "a\"b\\c\nd"}}, 1}});
  CHECK(out.text() ==
        "# HELP up One \\\\ and\\na line.\n"
        "# TYPE up gauge\n"
        "up{name=\"a\\\"b\\\\c\\nd\"} 1\n");
  CHECK(check_exposition(out.text()).findings.empty());
}

TEST_CASE("counter: it never falls, and stays at the largest number", "[metrics]") {
  Counter counter;
  std::int64_t before = 0;
  for (const std::int64_t by : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 62,
                                std::int64_t{1} << 62, std::numeric_limits<std::int64_t>::max()}) {
    counter.add(by);
    CHECK(counter.value() >= before);
    before = counter.value();
  }
  CHECK(before == std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("exposition check: it finds what is wrong", "[metrics]") {
  const std::string head = "# HELP a_total A.\n# TYPE a_total counter\n";
  CHECK(check_exposition(head + "a_total 1\n").findings.empty());
  for (const std::string& bad :
       {head + "a_total 1", head + "a_total -1\n", head + "a_total 1\na_total 1\n",
        head + "a_total{x=\"1\n", head + "a_total{x=1} 1\n", head + "a_total{x=\"\\q\"} 1\n",
        head + "b_total 1\n", head + head, head + "a_total\n", head + "a_total one\n",
        head + "a_total{x=\"1\",x=\"1\"} 1\n", head + "# note\n", std::string("a_total 1\n"),
        std::string("# HELP a_total A.\na_total 1\n"), std::string("# TYPE a_total counter\n"),
        std::string("# HELP a A.\n# TYPE a counter\na 1\n"),
        std::string("# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n"),
        std::string("# HELP a \n# TYPE a gauge\na 1\n"),
        std::string("# HELP a A.\n# TYPE a curve\na 1\n")}) {
    INFO(bad);
    CHECK_FALSE(check_exposition(bad).findings.empty());
  }
  CHECK(fallen_counter(check_exposition(head + "a_total 2\n"),
                       check_exposition(head + "a_total 2\n")) == "");
  CHECK(fallen_counter(check_exposition(head + "a_total 2\n"),
                       check_exposition(head + "a_total 1\n")) == "a_total");
  CHECK(fallen_counter(check_exposition(head + "a_total 2\n"), check_exposition(head)) ==
        "a_total");
}
