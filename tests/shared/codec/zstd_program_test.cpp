#include "shared/codec/zstd_program.hpp"

#include <catch2/catch.hpp>

#include "tests/support/content.hpp"

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

TEST_CASE("zstd: how the plain bytes are cut makes no difference, how many there are does",
          "[codec]") {
  for (const std::size_t size : {0U, 20'000U, 3'000'000U})
    for (const bool has_size : {false, true})
      for (const std::size_t most : {100U, 200'000U, 5'000'000U}) {
        CAPTURE(size, has_size, most);
        const ZstdProgram program{.level = 9, .has_size = has_size};
        const Buffer plain = tests::text(size, 3);
        Buffer coded;
        REQUIRE(zstd_as_program(tests::cut(plain, most), size, program, append_to(coded)));
        CHECK(coded == zstd_as_program(plain, program));
        Buffer none;
        CHECK(zstd_as_program(tests::cut(plain, most), size + 1, program, append_to(none))
                  .error()
                  .kind() == ErrorKind::corrupt);
      }
}
