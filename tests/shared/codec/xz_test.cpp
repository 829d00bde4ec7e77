#include "shared/codec/xz.hpp"

#include <catch2/catch.hpp>

#include "tests/support/container_files.hpp"
#include "tests/support/content.hpp"

using namespace lamina;

TEST_CASE("xz: how the plain bytes are cut makes no difference", "[codec]") {
  const Buffer plain = tests::text(400'000, 3);
  for (const Lzma2Shape& shape : {Lzma2Shape{}, Lzma2Shape{.preset = 1, .dictionary_code = 0},
                                  Lzma2Shape{.preset = 3, .is_extreme = true, .has_x86 = true}})
    for (const std::size_t most : {3U, 1000U, 300'000U}) {
      CAPTURE(int{shape.preset}, most);
      Buffer coded;
      REQUIRE(lzma2_pieces(tests::cut(plain, most), shape, append_to(coded)));
      CHECK(coded == lzma2_bytes(plain, shape));
    }
  const auto broken = []() -> Result<ByteView> { return fail(ErrorKind::corrupt, "no more"); };
  Buffer none;
  CHECK(lzma2_pieces(broken, {}, append_to(none)).error().text() == "no more");
}

TEST_CASE("xz: what was coded is made again, and only with its own shape", "[codec]") {
  for (const std::size_t size : {0U, 1U, 100U, 300'000U})
    for (const Lzma2Shape& shape :
         {Lzma2Shape{}, Lzma2Shape{.preset = 1}, Lzma2Shape{.preset = 3, .is_extreme = true},
          Lzma2Shape{.preset = 4, .has_x86 = true, .dictionary_code = 0}}) {
      CAPTURE(size, int{shape.preset});
      const Buffer plain = tests::text(size, size);
      Buffer coded = lzma2_bytes(plain, shape);
      const std::size_t coded_size = coded.size();
      coded.push_back(std::byte{7});
      const auto decoded = lzma2_decode_any(coded, shape, size);
      REQUIRE(decoded);
      CHECK(decoded->plain == plain);
      CHECK(decoded->coded_size == coded_size);
      CHECK(lzma2_codes_to(plain, shape, ByteView(coded).first(coded_size)));
      CHECK_FALSE(lzma2_codes_to(plain, shape, coded));
      CHECK_FALSE(lzma2_codes_to(plain, shape, ByteView(coded).first(coded_size - 1)));
      if (size > 1000)
        CHECK_FALSE(lzma2_codes_to(plain, {.preset = 0, .is_extreme = true},
                                   ByteView(coded).first(coded_size)));
    }
}

TEST_CASE("xz: a bomb stops at its limit, and rubbish is refused", "[codec]") {
  const Lzma2Shape shape{.preset = 0};
  const Buffer coded = lzma2_bytes(Buffer(10'000'000), shape);
  CHECK(lzma2_decode_any(coded, shape, 9'999'999).error().kind() == ErrorKind::invalid);
  CHECK(lzma2_decode_any(coded, shape, 10'000'000));
  CHECK(lzma2_decode_any(coded, shape, 0).error().kind() == ErrorKind::invalid);
  CHECK(
      lzma2_decode_any(ByteView(coded).first(coded.size() - 1), shape, 10'000'000).error().kind() ==
      ErrorKind::corrupt);
  CHECK(lzma2_decode_any({}, shape, 10).error().kind() == ErrorKind::corrupt);
  CHECK(lzma2_decode_any(as_view("\xff\xff"), shape, 10).error().kind() == ErrorKind::corrupt);
}

TEST_CASE("xz: a file's header says the shape but the preset; others are none", "[codec]") {
  const Buffer plain = tests::text(5000, 1);
  for (const bool has_x86 : {false, true})
    for (const std::uint8_t code : {std::uint8_t{0}, std::uint8_t{17}, kDictionaryCodeMax}) {
      const Lzma2Shape shape{.has_x86 = has_x86, .dictionary_code = code};
      for (const bool has_sizes : {false, true}) {
        const Buffer file = tests::xz_file(plain, shape, has_sizes);
        const auto header = xz_header(file);
        REQUIRE(header);
        CHECK(header->shape == shape);
        CHECK(lzma2_decode_any(ByteView(file).subspan(header->data), shape, 5000)->plain == plain);
        for (std::size_t size = 0; size < header->data; ++size)
          CHECK_FALSE(xz_header(ByteView(file).first(size)));
      }
    }
}
