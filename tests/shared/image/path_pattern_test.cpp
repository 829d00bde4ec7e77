#include "shared/image/path_pattern.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "shared/base/wildcard.hpp"
#include "shared/format/path.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) parts.emplace_back(take_component(path));
  return parts;
}

// The same by trying all ways: each "**" as every number of '*'.
bool slow_matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != "**") continue;
    const bool is_last = i + 1 == pattern.size();
    for (std::size_t stars = is_last ? 1 : 0; stars <= std::max<std::size_t>(path.size(), 1);
         ++stars) {
      std::vector<std::string> other(pattern.begin(), pattern.begin() + static_cast<long>(i));
      other.insert(other.end(), stars, "*");
      other.insert(other.end(), pattern.begin() + static_cast<long>(i) + 1, pattern.end());
      if (slow_matches(other, path)) return true;
    }
    return false;
  }
  if (pattern.size() > path.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i)
    if (!matches_wildcard(pattern[i], path[i])) return false;
  return true;
}

}  // namespace

TEST_CASE("path pattern: components, stars, and all that lies beneath", "[image]") {
  struct Row {
    const char* pattern;
    const char* path;
    bool fits;
  };
  const Row rows[] = {
      {"etc/fstab", "etc/fstab", true},
      {"etc/fstab", "etc/fstab2", false},
      {"etc/fstab", "etc", false},
      {"etc/fstab", "etc/fstab/x", true},
      {"etc/fstab", "usr/etc/fstab", false},
      {"proc/*", "proc", false},
      {"proc/*", "proc/1", true},
      {"proc/*", "proc/1/fd/0", true},
      {"a/*.deb", "a/b.deb", true},
      {"a/*.deb", "a/.deb", true},
      {"a/*.deb", "a/b.debx", false},
      {"a/*.deb", "a/b.deb.deb", true},
      {"a/k_*_x*", "a/k_b_x", true},
      {"a/k_*_x*", "a/k_b_y", false},
      {"a*b/c", "a/b/c", false},
      {"*", "x", true},
      {"srv/**/cache", "srv/cache", true},
      {"srv/**/cache", "srv/a/b/cache/x", true},
      {"srv/**/cache", "srv/a/caches", false},
      {"srv/**/a/b", "srv/a/a/b", true},
      {"**/*.iso", "x.iso", true},
      {"**/*.iso", "home/ann/x.iso/y", true},
      {"**/*.iso", "home/ann/x.iso.txt", false},
      {"srv/**", "srv", false},
      {"srv/**", "srv/x", true},
      {"**/a/**/b", "a/x/a/y/b", true},
      {"**/a/**/b", "b/a", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern, row.path);
    CHECK(matches(row.pattern, row.path) == row.fits);
  }
}

TEST_CASE("path pattern: as trying all ways says, and never missed from above", "[image]") {
  std::mt19937 random(7);
  const auto make = [&](std::initializer_list<const char*> words, std::size_t most) {
    std::string path;
    for (std::size_t n = 1 + random() % most; n > 0; --n)
      path += (path.empty() ? "" : "/") + std::string(*(words.begin() + random() % words.size()));
    return path;
  };
  std::size_t matched = 0, reached = 0;
  for (int i = 0; i < 30'000; ++i) {
    const std::string pattern = make({"a", "b", "a*", "*", "**"}, 5);
    const std::string path = make({"a", "b", "ab", "c"}, 5);
    CAPTURE(pattern, path);
    const bool fits = matches(pattern, path);
    matched += fits ? 1 : 0;
    REQUIRE(fits == slow_matches(split(pattern), split(path)));
    reached += may_match_beneath(pattern, path) ? 1 : 0;
    if (!fits) continue;
    REQUIRE(may_match_beneath(pattern, path));
    for (std::string_view above = format::parent_of(path);; above = format::parent_of(above)) {
      REQUIRE(may_match_beneath(pattern, above));
      if (above.empty()) break;
    }
  }
  CHECK(matched > 1000);
  CHECK(reached < 29'000);
  CHECK(may_match_beneath("a/b/c", "a/b"));
  CHECK_FALSE(may_match_beneath("a/b/c", "a/c"));
  CHECK_FALSE(may_match_beneath("a/b/c", "a/b/d"));
}

// Trying every way for each "**" would take longer than anybody waits.
TEST_CASE("path pattern: many stars cost no more than the product of the lengths", "[image]") {
  std::string pattern, path;
  for (int i = 0; i < 60; ++i) pattern += "**/a*a*a*a*b/";
  pattern += "c";
  for (int i = 0; i < 100; ++i) path += "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/";
  path += "d";
  for (int i = 0; i < 1000; ++i) REQUIRE_FALSE(matches(pattern, path));
}

TEST_CASE("path pattern: those that mean too much or nothing are refused", "[image]") {
  for (const char* pattern : {"", "*", "**", "**/*", "/etc", "etc/", "a//b", "../x", "a/./b",
                              "a/../b", "a**/b", "a/**b", "a/***"}) {
    CAPTURE(pattern);
    const auto good = check_pattern(pattern);
    REQUIRE_FALSE(good);
    CHECK(good.error().kind() == ErrorKind::invalid);
  }
  for (const char* pattern : {"a", "*/b", "srv/*", "a*b/c", "srv/**/x", "**/*.iso", "srv/**"}) {
    CAPTURE(pattern);
    CHECK(check_pattern(pattern));
  }
}

TEST_CASE("path macros: stand for the places of a system", "[image]") {
  CHECK(expand_pattern("{home}/x").value() == std::vector<std::string>{"home/*/x", "root/x"});
  CHECK(expand_pattern("{logs}").value() == std::vector<std::string>{"var/log"});
  CHECK(expand_pattern("srv/data").value() == std::vector<std::string>{"srv/data"});
  for (const char* bad : {"{nothing}/x", "{home", "{home}x", "{home}/../x", "{home}//x", ""}) {
    CAPTURE(bad);
    const auto patterns = expand_pattern(bad);
    REQUIRE_FALSE(patterns);
    CHECK(patterns.error().kind() == ErrorKind::invalid);
  }
  CHECK_THAT(expand_pattern("{nothing}").error().text(), Catch::Contains("{home}"));
}
