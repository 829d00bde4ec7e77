#include "shared/os/filter.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

TEST_CASE("filter: bytes go in and come out, more than a pipe holds", "[os]") {
  const Buffer input(3'000'000, std::byte{'x'});
  CHECK(os::run_filter({"cat"}, input, input.size()).value() == input);
  CHECK(os::run_filter({"cat"}, {}, 0).value().empty());
  CHECK(as_text(os::run_filter({"tr", "a-c", "A-C"}, as_view("abcd"), 10).value()) == "ABCd");
}

TEST_CASE("filter: a missing program, a failing one and a talkative one are told apart", "[os]") {
  CHECK(os::run_filter({"lamina-no-such-program"}, {}, 0).error().kind() == ErrorKind::not_found);
  const auto failed = os::run_filter({"false"}, {}, 0);
  CHECK(failed.error().kind() == ErrorKind::unavailable);
  CHECK(failed.error().text() == "false ended with code 1");
  CHECK(os::run_filter({"cat"}, as_view("abc"), 2).error().kind() == ErrorKind::invalid);
}
