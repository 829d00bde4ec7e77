#include "shared/base/units.hpp"

#include <catch2/catch.hpp>

using namespace lamina;
using namespace std::chrono_literals;

TEST_CASE("units: quantities with units are read", "[base]") {
  CHECK(parse_bytes("64 KiB")->count == 65536);
  CHECK(parse_bytes("1.5MiB")->count == 1572864);
  CHECK(parse_bytes("10")->count == 10);
  CHECK(parse_bit_rate("20Mbit")->bits_per_second == 20'000'000);
  CHECK(parse_bit_rate("100 KB/s")->bits_per_second == 800'000);
  CHECK(*parse_duration("30 s") == 30s);
  CHECK(*parse_duration("250ms") == 250ms);
  CHECK(*parse_duration("2 h") == 2h);
}

TEST_CASE("units: nonsense is invalid and named", "[base]") {
  for (const auto* text : {"", "x", "-1", "1 XB", "1..2 KiB", "99999999999999999999 GiB", "9e9"}) {
    CAPTURE(text);
    const auto bytes = parse_bytes(text);
    REQUIRE_FALSE(bytes);
    CHECK(bytes.error().kind() == ErrorKind::invalid);
  }
}

TEST_CASE("units: text for people", "[base]") {
  CHECK(to_text(Bytes{812}) == "812 B");
  CHECK(to_text(17_MiB) == "17.0 MiB");
  CHECK(to_text(BitRate{20'000'000}) == "20.0 Mbit/s");
  CHECK(to_text(Duration(200s)) == "3 min 20 s");
  CHECK(to_iso8601(WallTime{0}) == "1970-01-01T00:00:00Z");
  CHECK(to_iso8601(WallTime{-1}) == "1969-12-31T23:59:59Z");
}
