#include "shared/base/wildcard.hpp"

#include <catch2/catch.hpp>

using lamina::matches_wildcard;

TEST_CASE("wildcard: a star is any run of characters", "[base]") {
  for (const char* pattern : {"abc", "*", "a*", "*c", "a*c", "**abc**", "a**b*c", "*b*"})
    CHECK(matches_wildcard(pattern, "abc"));
  for (const char* pattern : {"", "ab", "abcd", "b*", "*b", "a*d", "ABC", "a*b"})
    CHECK_FALSE(matches_wildcard(pattern, "abc"));
  CHECK(matches_wildcard("", ""));
  CHECK(matches_wildcard("*", ""));
  // The first run that would do is not the one.
  CHECK(matches_wildcard("*ab", "aab"));
  CHECK(matches_wildcard("a*ab*b", "aaababb"));
}
