#include "shared/policy/device_filter.hpp"

#include <catch2/catch.hpp>
#include <map>

using namespace lamina;
using namespace lamina::policy;

namespace {

bool is_fact(std::string_view name) {
  return name == "site" || name == "host" || name == "address" || name == "layer";
}

const std::map<std::string, std::vector<std::string>, std::less<>> kTill = {
    {"site", {"north"}},
    {"host", {"till-3"}},
    {"address", {"10.1.2.3"}},
    {"layer", {"debian:12", "office:4"}}};

bool matches(std::string_view text) {
  const auto filter = DeviceFilter::parse(text, is_fact);
  if (!filter) FAIL(filter.error().text());
  return filter->matches([](std::string_view fact) {
    const auto found = kTill.find(fact);
    return found == kTill.end() ? std::vector<std::string>() : found->second;
  });
}

}  // namespace

TEST_CASE("device filter: tests and how they combine", "[policy]") {
  const std::pair<const char*, bool> rows[] = {
      {"site = north", true},
      {"site=north", true},
      {"site = 'north'", true},
      {"site = North", false},
      {"site != south", true},
      {"site != north", false},
      {"host = till-*", true},
      {"host = '*'", true},
      {"host = *3", true},
      {"host = *4*", false},
      {"host = t*l*3", true},
      {"host = ''", false},
      {"layer = office:*", true},
      {"layer != office:*", false},  // One of several fits.
      {"layer != firefox:*", true},
      {"address in 10.1.0.0/16", true},
      {"address in 10.2.0.0/16", false},
      {"address in 10.1.2.3", true},
      {"host in 10.0.0.0/8", false},  // No address.
      {"not site = north", false},
      {"not not site = north", true},
      {"site = south or host = till-3 and layer = debian:12", true},
      {"(site = south or host = till-3) and layer = debian:11", false},
      // "and" binds more strongly than "or", and "not" most.
      {"site = north or site = north and host = x", true},
      {"not site = south and host = till-3", true},
      {"not (site = north and host = till-3)", false},
  };
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    CHECK(matches(text) == expected);
  }
}

TEST_CASE("device filter: a mistake is named where it stands", "[policy]") {
  const std::pair<std::string, const char*> rows[] = {
      {"", "name of a fact is needed at the end"},
      {"colour = red", "where 'colour' stands"},
      {"'site' = north", "where 'site' stands"},
      {"site north", "'=', '!=' or 'in' is needed where 'north' stands"},
      {"site ! north", "where '!' stands"},
      {"site = north!", "where '!' stands"},
      {"site =", "a value is needed at the end"},
      {"site = (", "where '(' stands"},
      {"(site = north", "')' is needed at the end"},
      {"site = north south", "'and', 'or' or the end is needed where 'south' stands"},
      {"site = north and", "name of a fact"},
      {"site = 'north", "a quote is not closed"},
      {"address in nowhere", "nowhere"},
      {std::string(100, '(') + "site = north" + std::string(100, ')'), "flatter"},
      {std::string(5000, ' '), "at most 4096 bytes"}};
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    const auto filter = DeviceFilter::parse(text, is_fact);
    REQUIRE_FALSE(filter);
    CHECK(filter.error().kind() == ErrorKind::invalid);
    CHECK_THAT(filter.error().text(), Catch::Matchers::Contains(expected));
  }
}

TEST_CASE("device filter: any text is a filter or is refused", "[policy]") {
  const char* const words[] = {"site", "host", "=", "!=", "in", "not", "and",
                               "or",   "(",    ")", "'",  "*",  "x",   "10.0.0.0/8"};
  unsigned state = 7;
  int good = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (int i = 0; i < 3 + round % 5; ++i) {
      state = state * 1664525 + 1013904223;
      text += std::string(words[(state >> 16) % std::size(words)]) + ((state >> 8) % 3 ? " " : "");
    }
    const auto filter = DeviceFilter::parse(text, is_fact);
    if (!filter) continue;
    ++good;
    filter->matches([](std::string_view) { return std::vector<std::string>{"x"}; });
  }
  CHECK(good > 10);
}
