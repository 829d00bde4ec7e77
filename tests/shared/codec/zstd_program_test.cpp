#include "shared/codec/zstd_program.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

TEST_CASE("zstd: frames as the program makes them, with and without size and checksum", "[codec]") {
  Buffer plain(700'000);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::byte>(i * i >> 9);
  for (const bool has_size : {false, true})
    for (const bool has_checksum : {false, true}) {
      CAPTURE(has_size, has_checksum);
      Buffer coded =
          zstd_as_program(plain, {.level = 9, .has_checksum = has_checksum, .has_size = has_size});
      const std::size_t size = coded.size();
      coded.push_back(std::byte{1});
      const auto header = zstd_header(coded);
      REQUIRE(header);
      CHECK(header->has_size == has_size);
      CHECK(header->has_checksum == has_checksum);
      CHECK(header->coded_size == size);
      CHECK(zstd_decode_any(coded, plain.size()).value() == plain);
      CHECK(zstd_decode_any(coded, plain.size() - 1).error().kind() == ErrorKind::invalid);
      CHECK(zstd_decode_any(ByteView(coded).first(size - 1), plain.size()).error().kind() ==
            ErrorKind::corrupt);
    }
  CHECK_FALSE(zstd_header({}));
  CHECK_FALSE(zstd_header(plain));
  CHECK(zstd_decode_any(plain, 10).error().kind() == ErrorKind::corrupt);
}
