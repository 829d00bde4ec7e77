#include "shared/codec/reader.hpp"

#include <catch2/catch.hpp>

#include "shared/base/ids.hpp"
#include "shared/codec/writer.hpp"

using namespace lamina;

TEST_CASE("codec: what is written reads back", "[codec]") {
  Writer out;
  out.u8(1);
  out.u16(0x1234);
  out.u32(0xdeadbeef);
  out.u64(UINT64_MAX);
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128}, UINT64_MAX})
    out.varint(value);
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN, INT64_MAX})
    out.svarint(value);
  out.text("name");
  out.raw(ChunkId{}.bytes());
  const Buffer bytes = out.take();
  Reader in(bytes);
  CHECK(in.u8() == 1);
  CHECK(in.u16() == 0x1234);
  CHECK(in.u32() == 0xdeadbeef);
  CHECK(in.u64() == UINT64_MAX);
  for (const std::uint64_t value :
       {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128}, UINT64_MAX})
    CHECK(in.varint() == value);
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, INT64_MIN, INT64_MAX})
    CHECK(in.svarint() == value);
  CHECK(in.text(4) == "name");
  CHECK(in.id<ChunkId>().is_none());
  CHECK(in.finished());
}

TEST_CASE("codec: the end of the input fails the reader for good", "[codec]") {
  const Buffer bytes = to_buffer("abc");
  Reader in(bytes);
  CHECK(in.u32() == 0);
  CHECK(in.failed());
  CHECK(in.u8() == 0);
  CHECK_FALSE(in.finished());
}

TEST_CASE("codec: a varint has one encoding", "[codec]") {
  struct Case {
    const char* hex;
    bool good;
  };
  for (const auto& [hex, good] :
       {Case{"00", true}, Case{"7f", true}, Case{"8001", true}, Case{"8000", false},
        Case{"ff00", false}, Case{"80", false}, Case{"ffffffffffffffffff01", true},
        Case{"ffffffffffffffffff02", false}, Case{"ffffffffffffffffffff01", false}}) {
    CAPTURE(hex);
    const auto bytes = from_hex(hex).value();
    Reader in(bytes);
    in.varint();
    CHECK(in.finished() == good);
  }
}

TEST_CASE("codec: limits and absurd counts fail before anything is allocated", "[codec]") {
  Writer out;
  out.text("12345");
  Reader text(out.view());
  CHECK(text.bytes(4).empty());
  CHECK(text.failed());

  out.clear();
  out.varint(UINT64_MAX);
  Reader count(out.view());
  CHECK(count.count(32) == 0);
  CHECK(count.failed());
}
