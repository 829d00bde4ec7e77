#include "shared/format/beacon.hpp"

#include <catch2/catch.hpp>

#include "tests/shared/format/record_samples.hpp"

using namespace lamina;
using namespace lamina::format;

namespace {

SignedBeacon sample() {
  return {.beacon = {.site = "north",
                     .device = samples::id<DeviceId>(0x77),
                     .counter = (std::uint64_t{1} << 32) + 5,
                     .port = 8444,
                     .relay_port = 8445,
                     .list_sequence = 7,
                     .layers = {{samples::id<LayerId>(0x22), true},
                                {samples::id<LayerId>(0x23), false}}},
          .certificate = {std::byte{0xaa}, std::byte{0xbb}},
          .signature = {std::byte{0xcc}}};
}

}  // namespace

TEST_CASE("beacon: its bytes are held fixed", "[format][golden]") {
  CHECK(to_hex(encode(sample())) ==
        "4c4d626301000000056e6f727468777777777777777777777777777777778580808010fc41fd4107"
        "02222222222222222222222222222222222222222222222222222222222222222201232323232323"
        "23232323232323232323232323232323232323232323232323230002aabb01cc");
}

TEST_CASE("beacon: it reads back, and nothing broken is accepted", "[format]") {
  const Buffer bytes = encode(sample());
  const auto read = parse_beacon(bytes);
  REQUIRE(read);
  CHECK(*read == sample());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(parse_beacon(ByteView(bytes).first(size)));
  Buffer changed = bytes;
  changed.push_back(std::byte{0});
  CHECK_FALSE(parse_beacon(changed));
  changed = bytes;
  for (auto& byte : changed) {
    byte ^= std::byte{1};
    if (const auto other = parse_beacon(changed)) CHECK(encode(*other) == changed);
    byte ^= std::byte{1};
  }
  changed[4] = std::byte{2};
  const auto newer = parse_beacon(changed);
  REQUIRE_FALSE(newer);
  CHECK(newer.error().text().find("version 2") != std::string::npos);
}

TEST_CASE("beacon: size and layers are bounded", "[format]") {
  SignedBeacon beacon = sample();
  beacon.beacon.layers.assign(kBeaconLayersMax, {});
  CHECK(parse_beacon(encode(beacon)));
  beacon.beacon.layers.push_back({});
  CHECK_FALSE(parse_beacon(encode(beacon)));
  beacon = sample();
  beacon.certificate.resize(kBeaconMax - encode(beacon).size() +
                            1);  // Its length takes a byte more.
  CHECK(parse_beacon(encode(beacon)));
  beacon.certificate.resize(beacon.certificate.size() + 1);
  CHECK_FALSE(parse_beacon(encode(beacon)));
}

TEST_CASE("beacon: everything but certificate and signature is signed", "[format]") {
  const Buffer before = signed_bytes(sample().beacon);
  Beacon changed = sample().beacon;
  ++changed.relay_port;
  CHECK(signed_bytes(changed) != before);
  changed = sample().beacon;
  changed.layers.back().is_complete = true;
  CHECK(signed_bytes(changed) != before);
}
