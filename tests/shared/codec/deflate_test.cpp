#include "shared/codec/deflate.hpp"

#include <catch2/catch.hpp>

#include "tests/support/content.hpp"

using namespace lamina;

TEST_CASE("deflate: what was deflated is made again, and only with its own shape", "[codec]") {
  for (const std::size_t size : {0U, 1U, 100U, 90'000U})
    for (const DeflateShape shape :
         {DeflateShape{9, 8}, DeflateShape{9, 9}, DeflateShape{6, 8}, DeflateShape{1, 8}}) {
      CAPTURE(size, shape.level, shape.memory_level);
      Buffer plain = tests::noise(size, size);
      for (auto& byte : plain) byte &= std::byte{0x1f};  // So that there is something to code.
      Buffer coded = deflate_bytes(plain, shape);
      const std::size_t coded_size = coded.size();
      coded.push_back(std::byte{7});
      const auto inflated = inflate_bytes(coded, size);
      REQUIRE(inflated);
      CHECK(inflated->plain == plain);
      CHECK(inflated->coded_size == coded_size);
      CHECK(deflates_to(plain, shape, ByteView(coded).first(coded_size)));
      CHECK_FALSE(deflates_to(plain, shape, coded));
      CHECK_FALSE(deflates_to(plain, shape, ByteView(coded).first(coded_size - 1)));
      if (size > 1000) CHECK_FALSE(deflates_to(plain, {3, 8}, ByteView(coded).first(coded_size)));
    }
}

TEST_CASE("deflate: how the plain bytes are cut makes no difference", "[codec]") {
  const Buffer plain = tests::text(400'000, 3);
  for (const DeflateShape shape :
       {DeflateShape{9, 8}, DeflateShape{6, 9}, DeflateShape{1, 8}, DeflateShape{4, 1}})
    for (const std::size_t most : {3U, 1000U, 300'000U}) {
      CAPTURE(shape.level, most);
      Buffer coded;
      REQUIRE(deflate_pieces(tests::cut(plain, most), shape, append_to(coded)));
      CHECK(coded == deflate_bytes(plain, shape));
    }
  const auto broken = []() -> Result<ByteView> { return fail(ErrorKind::corrupt, "no more"); };
  Buffer none;
  CHECK(deflate_pieces(broken, {}, append_to(none)).error().text() == "no more");
}

TEST_CASE("deflate: a bomb stops at its limit, and rubbish is refused", "[codec]") {
  const Buffer coded = deflate_bytes(Buffer(10'000'000), {});
  CHECK(inflate_bytes(coded, 9'999'999).error().kind() == ErrorKind::invalid);
  CHECK(inflate_bytes(coded, 10'000'000));
  CHECK(inflate_bytes(coded, 0).error().kind() == ErrorKind::invalid);
  CHECK(inflate_bytes(ByteView(coded).first(coded.size() - 3), 10'000'000).error().kind() ==
        ErrorKind::corrupt);
  CHECK(inflate_bytes({}, 10).error().kind() == ErrorKind::corrupt);
  CHECK(inflate_bytes(as_view("\xff\xff\xff\xff"), 10).error().kind() == ErrorKind::corrupt);
}

TEST_CASE("deflate: CRC-32 as ISO 3309 says", "[codec]") {
  CHECK(crc32_of(as_view("123456789")) == 0xcbf43926);
}
