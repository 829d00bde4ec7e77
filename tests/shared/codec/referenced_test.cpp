#include "shared/codec/referenced.hpp"

#include <catch2/catch.hpp>

#include "tests/support/content.hpp"

using namespace lamina;

namespace {

struct Way {
  const char* name;
  Buffer (*encode)(ReferencedCoder&, ByteView, ByteView);
  Status (ReferencedCoder::*decode)(ByteView, ByteView, std::span<std::byte>);
};
const Way kWays[] = {
    {"zstd", [](ReferencedCoder& c, ByteView p, ByteView r) { return c.with_zstd(p, r, 9); },
     &ReferencedCoder::decode_zstd},
    {"lzma2", [](ReferencedCoder& c, ByteView p, ByteView r) { return c.with_lzma2(p, r); },
     &ReferencedCoder::decode_lzma2}};

}  // namespace

TEST_CASE("referenced coder: what is in the reference costs next to nothing", "[codec]") {
  ReferencedCoder coder;
  for (const Way& way : kWays) {
    CAPTURE(way.name);
    const Buffer reference = tests::noise(300'000, 1);
    Buffer plain(reference.begin() + 1000, reference.end());
    plain[5000] ^= std::byte{1};
    const Buffer coded = way.encode(coder, plain, reference);
    CHECK(coded.size() < 500);
    Buffer back(plain.size());
    REQUIRE((coder.*way.decode)(coded, reference, back));
    CHECK(back == plain);
  }
}

TEST_CASE("referenced coder: sizes from nothing to past a window, with and without reference",
          "[codec]") {
  ReferencedCoder coder;
  for (const Way& way : kWays)
    for (const std::size_t size : {0U, 1U, 100U, 70'000U, 300'000U})
      for (const std::size_t reference_size : {0U, 1U, 90'000U}) {
        CAPTURE(way.name, size, reference_size);
        const Buffer reference = tests::text(reference_size, 1);
        const Buffer plain = tests::text(size, 2);
        Buffer back(size);
        REQUIRE((coder.*way.decode)(way.encode(coder, plain, reference), reference, back));
        CHECK(back == plain);
      }
}

TEST_CASE("referenced coder: another size, cut or longer data is corrupt", "[codec]") {
  ReferencedCoder coder;
  for (const Way& way : kWays) {
    CAPTURE(way.name);
    const Buffer reference = tests::text(5000, 1);
    const Buffer plain = tests::text(6000, 2);
    const Buffer coded = way.encode(coder, plain, reference);
    const auto kind = [&](ByteView bytes, std::size_t size) {
      Buffer back(size);
      const auto result = (coder.*way.decode)(bytes, reference, back);
      REQUIRE_FALSE(result);
      return result.error().kind();
    };
    CHECK(kind(coded, 5999) == ErrorKind::corrupt);
    CHECK(kind(coded, 6001) == ErrorKind::corrupt);
    CHECK(kind({}, 6000) == ErrorKind::corrupt);
    CHECK(kind(ByteView(coded).first(coded.size() - 1), 6000) == ErrorKind::corrupt);
    Buffer longer = coded;
    longer.push_back(std::byte{0});
    CHECK(kind(longer, 6000) == ErrorKind::corrupt);
    Buffer back(6000);
    CHECK((coder.*way.decode)(coded, reference, back));
  }
}

TEST_CASE("referenced coder: another reference never gives the same bytes", "[codec]") {
  ReferencedCoder coder;
  for (const Way& way : kWays) {
    const Buffer reference = tests::noise(5000, 1);
    const Buffer plain = reference;
    const Buffer coded = way.encode(coder, plain, reference);
    Buffer other = reference;
    other[2500] ^= std::byte{4};
    Buffer back(reference.size());
    CAPTURE(way.name);
    REQUIRE(coded.size() < 100);
    const bool is_accepted = bool((coder.*way.decode)(coded, other, back));
    CHECK((!is_accepted || back != reference));
  }
}
