#include "shared/os/filter.hpp"

#include <catch2/catch.hpp>

#include "shared/os/gzip.hpp"

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

TEST_CASE("filter: a program without an end is stopped by its output or by the time", "[os]") {
  CHECK(os::run_filter({"yes"}, {}, 1 << 20).error().kind() == ErrorKind::invalid);
  const auto late = os::run_filter({"sleep", "1000"}, {}, 0, std::chrono::milliseconds{20});
  REQUIRE_FALSE(late);
  CHECK(late.error().kind() == ErrorKind::unavailable);
  CHECK(late.error().text() == "sleep did not end in time, and was killed");
}

TEST_CASE("filter: nothing of the environment reaches the program", "[os]") {
  CHECK(os::run_filter({"env"}, {}, 1000).value().empty());
}

TEST_CASE("filter: gzip(1) says its version and compresses, also what cannot be", "[os]") {
  if (!os::gzip_version()) {
    WARN("skipped: this machine has no gzip(1)");
    return;
  }
  CHECK(os::gzip_version()->find('.') != std::string::npos);
  Buffer noise(1 << 20);
  std::uint64_t state = 1;
  for (std::byte& byte : noise)
    byte = static_cast<std::byte>((state = state * 6364136223846793005U + 1) >> 56);
  const auto file = os::gzip(noise, 9);
  REQUIRE(file);
  CHECK(as_text(*file).starts_with("\x1f\x8b\x08"));
  CHECK(file->size() > noise.size());
}
