#include "shared/image/records/record_changes.hpp"

#include <catch2/catch.hpp>

#include "shared/image/records/record_format.hpp"

using namespace lamina;
using namespace lamina::image;

namespace {

RecordList example() {
  const RecordFormat& group = record_rule("etc/group")->format;
  return changes(group.parse("adm:x:4:ann\ngames:x:60:\n"),
                 group.parse("adm:x:4:bob\nnew:x:100:\n"));
}

}  // namespace

TEST_CASE("record changes: the bytes of the format", "[image]") {
  // adm gets the member bob, "new" comes, and adm's ann and games leave.
  const std::string hex =
      "4c4d726330303031"  // LMrc0001
      "04"
      "02"
      "0361646d"
      "03626f62"
      "00"
      "01"
      "00"
      "00"
      "036e6577"
      "00"
      "00"
      "01"
      "096e65773a783a313030"
      "02"
      "0361646d"
      "03616e6e"
      "00"
      "00"
      "00"
      "0567616d6573"
      "00"
      "00"
      "00";
  CHECK(to_hex(encode_changes(example())) == hex);
  const auto parsed = parse_changes(*from_hex(hex));
  REQUIRE(parsed);
  CHECK((*parsed == example()));
}

TEST_CASE("record changes: damaged bytes are refused", "[image]") {
  const Buffer good = encode_changes(example());
  const auto refused = [](Buffer bytes) {
    const auto parsed = parse_changes(bytes);
    return !parsed && parsed.error().kind() == ErrorKind::invalid;
  };
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK(refused(Buffer(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))));
  Buffer longer = good;
  longer.push_back(std::byte{0});
  CHECK(refused(longer));
  Buffer other_version = good;
  other_version[7] = std::byte{'2'};
  CHECK(refused(other_version));
  Buffer other_part = good;
  other_part[9] = std::byte{6};
  CHECK(refused(other_part));
  Buffer flag = good;
  flag[19] = std::byte{2};
  CHECK(refused(flag));

  RecordList twice = example();
  twice.records.push_back(twice.records.front());
  CHECK(refused(encode_changes(twice)));
}
