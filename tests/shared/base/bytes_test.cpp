#include "shared/base/bytes.hpp"

#include <catch2/catch.hpp>

#include "shared/base/ids.hpp"

using namespace lamina;

TEST_CASE("hex: what is written reads back", "[base]") {
  const Buffer bytes = to_buffer(std::string_view("\x00\x7f\xff", 3));
  CHECK(to_hex(bytes) == "007fff");
  CHECK(from_hex("007FFF").value() == bytes);
}

TEST_CASE("hex: an odd length or a wrong digit is invalid", "[base]") {
  for (const auto* text : {"0", "0g", "zz", "00 "}) {
    CAPTURE(text);
    const auto bytes = from_hex(text);
    REQUIRE_FALSE(bytes);
    CHECK(bytes.error().kind() == ErrorKind::invalid);
  }
}

TEST_CASE("printable: control characters and foreign bytes are escaped, long names cut", "[base]") {
  CHECK(printable("a\nb\x1b[31m\xff") == "a\\x0ab\\x1b[31m\\xff");
  CHECK(printable("abcdef", 3) == "abc...");
}

TEST_CASE("ids: full hex round trip, and nothing shorter is accepted", "[base]") {
  const std::string hex(64, 'a');
  const auto id = ChunkId::parse(hex);
  REQUIRE(id);
  CHECK(id->hex() == hex);
  CHECK(id->short_hex() == "aaaaaaaa");
  CHECK_FALSE(ChunkId::parse("aaaa"));
  CHECK_FALSE(id->is_none());
  CHECK(ChunkId{}.is_none());
}
