#include "origin/cli/publish.hpp"

#include <catch2/catch.hpp>

using namespace lamina::origin::cli;

TEST_CASE("versions: the next one has the next number", "[cli]") {
  const std::pair<const char*, const char*> cases[] = {
      {"", "1"},        {"1", "2"},        {"9", "10"},        {"12.11", "12.12"},
      {"1.09", "1.10"}, {"1.99", "1.100"}, {"beta", "beta.1"}, {"1.0-rc1", "1.0-rc2"},
      {"1.", "1.1"}};
  for (const auto& [before, after] : cases) {
    CAPTURE(before);
    CHECK(version_after(before) == after);
  }
}
