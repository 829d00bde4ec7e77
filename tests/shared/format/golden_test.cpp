// The bytes of every format, held fixed. A change here is a change of the format: it needs
// FORMAT.md, a version or feature bit, and a reader for what is already stored.
#include <catch2/catch.hpp>

#include "shared/format/pack.hpp"
#include "tests/shared/format/record_samples.hpp"
#include "tests/shared/format/samples.hpp"

using namespace lamina;
using namespace lamina::format;

TEST_CASE("golden: records", "[format][golden]") {
  CHECK(to_hex(encode(samples::layer())) ==
        "4c4d7263010100000664656269616e03312e300101056c696e75780664656269616e023132067838"
        "365f3634011111111111111111111111111111111111111111111111111111111111111111ac0205"
        "03f0a2048080b4bdb6f6da983102086964656e74697479046c6f6773");
  CHECK(to_hex(encode(samples::distribution())) ==
        "4c4d7263020100002222222222222222222222222222222222222222222222222222222222222222"
        "01333333333333333333333333333333333333333333333333333333333333333303666666666666"
        "6666666666666666666666666666666666666666666666666666a01f014444444444444444444444"
        "44444444444444444444444444444444444444444480c8d007005555555555555555555555555555"
        "555555555555555555555555555555555555c0a8a50400");
  CHECK(to_hex(encode(samples::target())) ==
        "4c4d72630301000077777777777777777777777777777777078080b4bdb6f6da98318080c4b1d7d0"
        "f5a13102222222222222222222222222222222222222222222222222222222222222222223232323"
        "232323232323232323232323232323232323232323232323232323230280ade204");
  CHECK(to_hex(encode(samples::lease())) ==
        "4c4d726304010000056e6f727468777777777777777777777777777777770380c8e3dddbf6da9831");
  CHECK(to_hex(encode(samples::members())) ==
        "4c4d726306010000056e6f727468078080b4bdb6f6da983103"
        "77777777777777777777777777777777040a010007fc41fd41"
        "787878787878787878787878787878781020010db8000000000000000000000001fc4100"
        "79797979797979797979797979797979000000");
  CHECK(to_hex(encode(samples::lease_of_shares())) ==
        "4c4d726304020000056e6f727468777777777777777777777777777777770380c8e3dddbf6da98310c050a");
  CHECK(to_hex(encode(samples::snapshot())) ==
        "4c4d7263050100007777777777777777777777777777777702888888888888888888888888888888"
        "88888888888888888888888888888888888080b4bdb6f6da983108696e74657276616c0111111111"
        "11111111111111111111111111111111111111111111111111111111ac020503f0a2040122222222"
        "22222222222222222222222222222222222222222222222222222222019999999999999999999999"
        "9999999999999999999999999999999999999999992801");
}

TEST_CASE("golden: entries", "[format][golden]") {
  Writer out;
  std::string previous;
  for (const Entry& entry : samples::every_kind()) {
    encode_entry(entry, previous, out);
    previous = entry.path;
  }
  CHECK(to_hex(sha256(out.view())) ==
        "66aa4db80bc3808f65a6b22e59b340bea5ce8538c45205269e0191121a98878d");
  Writer link;
  encode_entry({.path = "usr/bin/e", .kind = EntryKind::symlink, .mode = 0777, .target = "../x"},
               "usr/bin/d", link);
  CHECK(to_hex(link.view()) == "08016503ff03000000000000042e2e2f78");
}

TEST_CASE("golden: a pack of one raw frame", "[format][golden]") {
  Buffer bytes;
  PackBuilder builder([&](ByteView piece) -> Status {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
    return Done{};
  });
  REQUIRE(builder.add(Coder::raw, as_view("hello"), {{digest<ChunkId>(as_view("hello")), 5}}));
  const auto summary = builder.finish();
  REQUIRE(summary);
  CHECK(to_hex(bytes) ==
        "4c4d706b01000000000000000000000068656c6c6f010005012cf24dba5fb0a30e26e83b2ac5b9e2"
        "9e1b161e5c1fa7425e73043362938b982405150000000000000025000000000000000347db5a92c2"
        "46ab000000004c4d7066");
  CHECK(summary->id.hex() == "c57496155941d3d8e816dcd3b41786d428f4b3d8986026ca2f1b54bb33bd15ee");
}
