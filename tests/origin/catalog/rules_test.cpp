#include "origin/catalog/rules.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace lamina::origin;

namespace {

wire::LayerInfo layer(std::string name, std::string kind) {
  return {.name = std::move(name),
          .version = "1.0",
          .kind = std::move(kind),
          .os_family = "linux",
          .distribution = "debian",
          .release = "12.5",
          .architecture = "amd64"};
}

}  // namespace

TEST_CASE("rules: versions order by number where they are numbers", "[origin]") {
  const std::vector<std::string> rising{"1", "1.0", "1.1", "1.9", "1.10", "1.10a", "1.011", "2"};
  for (std::size_t i = 0; i < rising.size(); ++i)
    for (std::size_t j = 0; j < rising.size(); ++j) {
      INFO(rising[i] << " and " << rising[j]);
      const int order = compare_versions(rising[i], rising[j]);
      CHECK((order < 0) == (i < j));
      CHECK((order > 0) == (i > j));
    }
  CHECK(compare_versions("1.01", "1.1") == 0);
  CHECK(compare_versions("99999999999999999999999", "100000000000000000000000") < 0);
}

TEST_CASE("rules: names that could leave their place are refused", "[origin]") {
  for (const char* name : {"", "../x", "a/b", "a:b", ".hidden", "a b", "\xff", "a\n"})
    CHECK_FALSE(check_name("name", name));
  CHECK_FALSE(check_name("name", std::string(65, 'a')));
  for (const char* name : {"a", "debian-12", "1.0~rc1+b2", "A_b"}) CHECK(check_name("name", name));
}

TEST_CASE("rules: a stack that fits", "[origin]") {
  auto app = layer("office", "app");
  app.release = "12.7";  // A point release may differ.
  CHECK(check_stack({}));
  CHECK(check_stack(std::vector{layer("os", "base"), app}));
}

TEST_CASE("rules: a stack that does not fit says why", "[origin]") {
  const auto base = layer("os", "base");
  auto other = layer("office", "app");
  SECTION("operating system") { other.os_family = "windows"; }
  SECTION("distribution") { other.distribution = "ubuntu"; }
  SECTION("release") { other.release = "13.0"; }
  SECTION("architecture") { other.architecture = "arm64"; }
  const auto status = check_stack(std::vector{base, other});
  REQUIRE_FALSE(status);
  CHECK(status.error().kind() == ErrorKind::refused);
  CHECK_THAT(status.error().text(), Catch::Contains("office:1.0") && Catch::Contains("os:1.0"));
}

TEST_CASE("rules: no app without a base, no second base, no name twice", "[origin]") {
  const auto base = layer("os", "base");
  const auto app = layer("office", "app");
  CHECK_FALSE(check_stack(std::vector{app}));
  CHECK_FALSE(check_stack(std::vector{base, layer("os2", "base")}));
  CHECK_FALSE(check_stack(std::vector{base, app, app}));
}
