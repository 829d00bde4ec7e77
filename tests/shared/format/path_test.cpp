#include "shared/format/path.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace lamina;
using namespace lamina::format;

TEST_CASE("path: what leaves the tree or is ambiguous is invalid and named", "[format]") {
  for (const std::string path : {"/etc", "..", "../x", "a/../b", "a/./b", ".", "a//b", "a/", "/"}) {
    CAPTURE(path);
    const auto good = check_path(path);
    REQUIRE_FALSE(good);
    CHECK(good.error().text().find("'" + path + "'") != std::string::npos);
  }
  CHECK_FALSE(check_path(std::string("a\0b", 3)));
  CHECK_FALSE(check_path(std::string(256, 'x')));
  CHECK_FALSE(check_path(std::string(255, 'x') + '/' + std::string(4000, 'y')));
  for (const std::string path : {"", "a", "...", "a/..b", "a/b c", "\xff\xfe"})
    CHECK(check_path(path));
}

TEST_CASE("path: the order is that of a depth-first walk", "[format]") {
  std::vector<std::string> paths{"b", "a.b", "a/z", "a", "", "a/b/c", "a/b", "a-", "\xff"};
  std::ranges::sort(paths, PathLess{});
  CHECK(paths ==
        std::vector<std::string>{"", "a", "a/b", "a/b/c", "a/z", "a-", "a.b", "b", "\xff"});
}

TEST_CASE("path: within, parent and name", "[format]") {
  CHECK(is_within("a/b", "a"));
  CHECK(is_within("a", "a"));
  CHECK(is_within("x", ""));
  CHECK_FALSE(is_within("ab", "a"));
  CHECK(parent_of("a/b/c") == "a/b");
  CHECK(parent_of("a").empty());
  CHECK(name_of("a/b") == "b");
}
