#include "shared/store/pack_part.hpp"

#include <catch2/catch.hpp>

#include "shared/store/pack_set.hpp"
#include "tests/support/content.hpp"
#include "tests/support/pack_parts.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using tests::noise;
using tests::ref_of;
using tests::Scratch;

namespace {

// A pack of an origin, and a device that has nothing of it.
struct Place {
  explicit Place(std::size_t chunk_size = 20'000, std::uint64_t count = 100) {
    PackWriter writer(origin, {.level = 1, .frame_bytes = 100'000},
                      [this](const format::PackSummary& summary) -> Status {
                        REQUIRE(pack.size == 0);
                        pack = summary;
                        return Done{};
                      });
    for (std::uint64_t i = 0; i < count; ++i) {
      chunks.push_back(noise(chunk_size, i));
      REQUIRE(writer.add(ref_of(chunks[i]), chunks[i], ContentClass::compressed));
    }
    REQUIRE(writer.finish());
  }

  PackPart part(const std::vector<std::size_t>& wanted) const {
    std::set<ChunkId> ids;
    for (const std::size_t i : wanted) ids.insert(ref_of(chunks[i]).id);
    return make_part(ids, pack.size);
  }
  Result<bool> take(PackPart& part) { return take_part(device / "pack", pack.size, part, *writer); }
  void fetch(const PackPart& part) {
    tests::copy_ranges(origin.path_of(pack.id), device / "pack", pack.size, part.ranges);
  }
  // All looks, however many it takes; the bytes that had to be there.
  std::uint64_t take_all(PackPart& part) {
    for (int looks = 0; looks < 4; ++looks) {
      fetch(part);
      const auto taken = take(part);
      if (!taken) FAIL(taken.error().text());
      if (!*taken) continue;
      std::uint64_t bytes = 0;
      for (const ByteRange& range : part.ranges) bytes += range.end - range.begin;
      return bytes;
    }
    FAIL("there is no end of looks");
    return 0;
  }
  PackSet made() {
    REQUIRE(writer->finish());
    PackSet set;
    const auto ids = into.list().value();
    for (const PackId& id : ids) REQUIRE(set.add(into.path_of(id), "made"));
    set.seal();
    return set;
  }

  Scratch scratch, device;
  PackFiles origin = PackFiles::open(scratch.path(), PackFiles::Access::write).value();
  PackFiles into = PackFiles::open(device / "made", PackFiles::Access::write).value();
  std::optional<PackWriter> writer{std::in_place, into, PackWriter::Options{},
                                   [](const format::PackSummary&) -> Status { return Done{}; }};
  std::vector<Buffer> chunks;
  format::PackSummary pack;
};

}  // namespace

TEST_CASE("pack part: its chunks come without the rest of the pack", "[store]") {
  Place place;
  auto part = place.part({3, 4, 57});
  // Two frames of five chunks, the index, and what is read at the end to find it.
  CHECK(place.take_all(part) < 2 * 101'000 + 64 * 1024 + 1000);
  auto made = place.made();
  for (const std::size_t i : {3, 4, 57})
    CHECK(made.read(ref_of(place.chunks[i])).value() == place.chunks[i]);
  CHECK(made.chunk_count() == 10);
}

TEST_CASE("pack part: a long index is one more look", "[store]") {
  Place place(500, 3000);
  REQUIRE(place.pack.index.frames.size() > 1);
  auto part = place.part({2999});
  const auto first = part.ranges;
  place.fetch(part);
  CHECK_FALSE(place.take(part).value());
  CHECK(part.ranges != first);
  CHECK(part.ranges.size() == 1);
  place.take_all(part);
  CHECK(place.made().read(ref_of(place.chunks[2999])).value() == place.chunks[2999]);
}

TEST_CASE("pack part: what is not as it should be is refused, and nothing of it is kept",
          "[store]") {
  Place place;
  auto part = place.part({3, 57});
  SECTION("nothing is there") {
    const auto taken = place.take(part);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().kind() == ErrorKind::not_found);
  }
  SECTION("what is there are holes") {
    tests::copy_ranges(place.origin.path_of(place.pack.id), place.device / "pack", place.pack.size,
                       {});
    const auto taken = place.take(part);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().kind() == ErrorKind::corrupt);
  }
  SECTION("the pack has not got the chunk") {
    part.chunks.insert(ref_of(noise(10, 999)).id);
    place.fetch(part);
    const auto taken = place.take(part);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().kind() == ErrorKind::corrupt);
  }
  SECTION("the second of its frames is damaged") {
    place.fetch(part);
    REQUIRE_FALSE(place.take(part).value());
    place.fetch(part);
    const auto& frame = place.pack.index.frames[11];
    REQUIRE(frame.chunks[2].id == ref_of(place.chunks[57]).id);
    tests::overwrite(place.device / "pack", frame.offset + frame.coded_size / 2, "!!");
    const auto taken = place.take(part);
    REQUIRE_FALSE(taken);
    CHECK(taken.error().kind() == ErrorKind::corrupt);
  }
  CHECK(place.made().chunk_count() == 0);
}
