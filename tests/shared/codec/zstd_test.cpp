#include "shared/codec/zstd.hpp"

#include <catch2/catch.hpp>

using namespace lamina;

TEST_CASE("zstd: round trip, and the contexts can be used again", "[codec]") {
  ZstdCompressor small(9);
  ZstdDecompressor back;
  for (const std::size_t size : {0U, 1U, 1000U, 300000U}) {
    const Buffer plain(size, std::byte{'x'});
    const Buffer coded = small.compress(plain);
    CHECK(back.decompress(coded, size).value() == plain);
  }
}

TEST_CASE("zstd: wrong size, cut, extended or changed data is corrupt", "[codec]") {
  ZstdCompressor small(3);
  ZstdDecompressor back;
  Buffer plain(5000);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::byte>(i * i >> 3);
  const Buffer coded = small.compress(plain);
  const auto kind = [&](const Buffer& bytes, std::size_t size) {
    const auto result = back.decompress(bytes, size);
    REQUIRE_FALSE(result);
    return result.error().kind();
  };
  CHECK(kind(coded, 4999) == ErrorKind::corrupt);
  CHECK(kind(coded, 5001) == ErrorKind::corrupt);
  for (std::size_t size = 0; size < coded.size(); size += 97)
    CHECK(kind(Buffer(coded.begin(), coded.begin() + static_cast<std::ptrdiff_t>(size)), 5000) ==
          ErrorKind::corrupt);
  Buffer longer = coded;
  longer.push_back(std::byte{0});
  CHECK(kind(longer, 5000) == ErrorKind::corrupt);
  Buffer wrong = coded;
  wrong[0] ^= std::byte{0xff};
  CHECK(kind(wrong, 5000) == ErrorKind::corrupt);
  // Another good frame still decodes after failures.
  CHECK(back.decompress(coded, 5000).value() == plain);
}
