#include "shared/format/parcel.hpp"

#include <catch2/catch.hpp>

#include "tests/shared/format/record_samples.hpp"

using namespace lamina;
using namespace lamina::format;

namespace {

ParcelFront sample() {
  ParcelFront front;
  front.head = {.device = samples::id<DeviceId>(0x77),
                .sequence = 300,
                .number = 2,
                .kind = ParcelKind::snapshot,
                .snapshot = samples::id<SnapshotId>(0x88),
                .box_size = 500,
                .box_digest = sha256(as_view("box"))};
  front.public_key = to_buffer("key");
  front.signature = to_buffer("signature");
  return front;
}

}  // namespace

TEST_CASE("parcel: the front survives its bytes, whatever follows", "[format]") {
  const ParcelFront front = sample();
  Buffer bytes = encode(front);
  const std::size_t size = bytes.size();
  for (const std::size_t more : {0, 1, 5'000}) {
    bytes.resize(size + more);
    const auto parsed = parse_parcel(bytes);
    REQUIRE(parsed);
    CHECK(parsed->front == front);
    CHECK(parsed->size == size);
  }
}

TEST_CASE("parcel: golden bytes", "[format]") {
  CHECK(to_hex(encode(sample())) ==
        "4c4d7061"
        "01"
        "02"
        "0000"
        "77777777777777777777777777777777"
        "ac02"
        "02"
        "8888888888888888888888888888888888888888888888888888888888888888"
        "f403" +
            to_hex(sha256(as_view("box"))) +
            "036b6579"
            "097369676e6174757265");
}

TEST_CASE("parcel: cut off, foreign and impossible fronts are refused", "[format]") {
  const Buffer bytes = encode(sample());
  for (std::size_t left = 0; left < bytes.size(); ++left)
    CHECK_FALSE(parse_parcel(ByteView(bytes).first(left)));
  struct Row {
    std::size_t at;
    int value;
    const char* says;
  };
  for (const Row& row :
       {Row{0, 'x', "not a parcel"}, Row{4, 2, "version 2"}, Row{5, 1, "no known kind"},
        Row{5, 3, "no known kind"}, Row{6, 1, "features"}}) {
    CAPTURE(row.at, row.value);
    Buffer changed = bytes;
    changed[row.at] = static_cast<std::byte>(row.value);
    const auto parsed = parse_parcel(changed);
    REQUIRE_FALSE(parsed);
    CHECK_THAT(parsed.error().text(), Catch::Contains(row.says));
  }
  ParcelFront large = sample();
  large.head.box_size = kParcelBoxMax + 1;
  CHECK_FALSE(parse_parcel(encode(large)));
  ParcelFront pack = sample();
  pack.head.kind = ParcelKind::pack;
  CHECK_FALSE(parse_parcel(encode(pack)));
  pack.head.snapshot = {};
  CHECK(parse_parcel(encode(pack)));
}

TEST_CASE("parcel: every field of the head is signed, and those that say whose it is seal",
          "[format]") {
  const ParcelHead head = sample().head;
  ParcelHead other = head;
  const auto differs = [&](bool context_too) {
    CHECK(signed_bytes(other) != signed_bytes(head));
    CHECK(parcel_id(other) != parcel_id(head));
    CHECK((box_context(other) != box_context(head)) == context_too);
    other = head;
  };
  other.device = samples::id<DeviceId>(0x78);
  differs(true);
  other.sequence = 301;
  differs(true);
  other.number = 3;
  differs(true);
  other.kind = ParcelKind::pack;
  differs(true);
  other.snapshot = samples::id<SnapshotId>(0x89);
  differs(true);
  other.box_size = 501;
  differs(false);
  other.box_digest = sha256(as_view("other box"));
  differs(false);
}
