#include "shared/store/read_ahead.hpp"

#include <atomic>
#include <catch2/catch.hpp>

#include "tests/support/content.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

format::ChunkRef ref_of(std::uint32_t number) {
  return {digest<ChunkId>(as_view(std::to_string(number))), number + 1};
}

// The first `count` chunks, then the end.
ReadAhead::Next numbers(std::uint32_t count) {
  return [count, next = std::uint32_t{0}]() mutable -> Result<std::optional<format::ChunkRef>> {
    if (next == count) return std::optional<format::ChunkRef>();
    return std::optional(ref_of(next++));
  };
}

}  // namespace

TEST_CASE("read ahead: every chunk comes in its order, and the source is not far ahead",
          "[store]") {
  std::atomic<std::uint32_t> read = 0;
  ReadAhead ahead(numbers(1000), [&](const format::ChunkRef& ref) -> Result<Buffer> {
    ++read;
    return Buffer(ref.length);
  });
  const auto source = ahead.source();
  std::uint32_t most = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const auto bytes = source(ref_of(i));
    REQUIRE(bytes);
    REQUIRE(bytes->size() == i + 1);
    most = std::max(most, read - i);
  }
  CHECK(most <= 64);
  CHECK(source(ref_of(1000)).error().kind() == ErrorKind::invalid);
}

TEST_CASE("read ahead: errors come where their chunk is asked for; it may be dropped early",
          "[store]") {
  ReadAhead ahead(numbers(1000), [](const format::ChunkRef& ref) -> Result<Buffer> {
    if (ref.length == 3) return fail(ErrorKind::corrupt, "the third");
    return Buffer(ref.length);
  });
  const auto source = ahead.source();
  CHECK(source(ref_of(0)));
  CHECK(source(ref_of(1)));
  CHECK(source(ref_of(2)).error().kind() == ErrorKind::corrupt);
  CHECK(source(ref_of(3)));
  CHECK(source(ref_of(17)).error().kind() == ErrorKind::invalid);
}

TEST_CASE("read ahead: an error of the order is told to whoever asks", "[store]") {
  ReadAhead ahead(
      []() -> Result<std::optional<format::ChunkRef>> {
        return fail(ErrorKind::corrupt, "the plan is damaged");
      },
      [](const format::ChunkRef&) -> Result<Buffer> { return Buffer(); });
  CHECK(ahead.source()(ref_of(0)).error().text().find("damaged") != std::string::npos);
}
