#include "shared/os/filter.hpp"

#include <catch2/catch.hpp>

#include "shared/os/gzip.hpp"

using namespace lamina;

namespace {

Result<Buffer> filtered(const std::vector<std::string>& words, ByteView input,
                        const os::FilterLimits& limits) {
  Buffer output;
  if (auto done = os::run_filter(words, pieces_of(input), append_to(output), limits); !done)
    return fail(std::move(done.error()));
  return output;
}

}  // namespace

TEST_CASE("filter: bytes go in and come out, more than a pipe holds", "[os]") {
  const Buffer input(3'000'000, std::byte{'x'});
  CHECK(filtered({"cat"}, input, {.output_max = input.size()}).value() == input);
  CHECK(filtered({"cat"}, {}, {}).value().empty());
  CHECK(as_text(filtered({"tr", "a-c", "A-C"}, as_view("abcd"), {.output_max = 10}).value()) ==
        "ABCd");
}

TEST_CASE("filter: a missing program, a failing one and a talkative one are told apart", "[os]") {
  CHECK(filtered({"lamina-no-such-program"}, {}, {}).error().kind() == ErrorKind::not_found);
  const auto failed = filtered({"false"}, {}, {});
  CHECK(failed.error().kind() == ErrorKind::unavailable);
  CHECK(failed.error().text() == "false ended with code 1");
  CHECK(filtered({"cat"}, as_view("abc"), {.output_max = 2}).error().kind() == ErrorKind::invalid);
}

TEST_CASE("filter: a program without an end is stopped by its output or by the time", "[os]") {
  CHECK(filtered({"yes"}, {}, {.output_max = 1 << 20}).error().kind() == ErrorKind::invalid);
  const auto late = filtered({"sleep", "1000"}, {}, {.idle_max = std::chrono::milliseconds{20}});
  REQUIRE_FALSE(late);
  CHECK(late.error().kind() == ErrorKind::unavailable);
  CHECK(late.error().text() == "sleep did nothing for too long, and was killed");
}

TEST_CASE("filter: a program need not read everything; what gives and takes may fail", "[os]") {
  const Buffer input(3'000'000, std::byte{'x'});
  CHECK(as_text(filtered({"head", "-c", "3"}, input, {.output_max = 3}).value()) == "xxx");
  int left = 5;
  const auto broken = [&]() -> Result<ByteView> {
    if (left-- == 0) return fail(ErrorKind::corrupt, "no more");
    return ByteView(input).first(100'000);
  };
  Buffer output;
  const os::FilterLimits limits{.output_max = input.size()};
  CHECK(os::run_filter({"cat"}, broken, append_to(output), limits).error().text() == "no more");
  const auto refuse = [](ByteView) -> Status { return fail(ErrorKind::out_of_space, "full"); };
  CHECK(os::run_filter({"cat"}, pieces_of(input), refuse, limits).error().text() == "full");
}

TEST_CASE("filter: nothing of the environment reaches the program", "[os]") {
  CHECK(filtered({"env"}, {}, {.output_max = 1000}).value().empty());
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
  Buffer file;
  REQUIRE(os::gzip(pieces_of(noise), noise.size(), 9, append_to(file)));
  CHECK(as_text(file).starts_with("\x1f\x8b\x08"));
  CHECK(file.size() > noise.size());
}
