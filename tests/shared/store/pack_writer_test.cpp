#include "shared/store/pack_writer.hpp"

#include <catch2/catch.hpp>

#include "shared/store/pack_set.hpp"
#include "tests/support/content.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using tests::noise;
using tests::ref_of;
using tests::Scratch;

namespace {

struct Place {
  Scratch scratch;
  PackFiles files = PackFiles::open(scratch.path(), PackFiles::Access::write).value();
  std::vector<PackId> packs;
  PackWriter writer{files,
                    {.level = 3, .frame_bytes = 100'000, .pack_bytes = 400'000},
                    [this](const format::PackSummary& summary) -> Status {
                      packs.push_back(summary.id);
                      return Done{};
                    }};
};

std::vector<Buffer> contents() {
  std::vector<Buffer> chunks;
  for (std::uint64_t i = 0; i < 60; ++i)
    chunks.push_back(i % 2 == 0 ? noise(20'000 + i, i) : tests::text(30'000 + i, i));
  return chunks;
}

void fill(PackWriter& writer) {
  for (const Buffer& chunk : contents())
    REQUIRE(writer.add(ref_of(chunk), chunk,
                       chunk.size() < 30'000 ? ContentClass::compressed : ContentClass::text));
  REQUIRE(writer.finish());
}

}  // namespace

TEST_CASE("pack writer: every chunk is read back from the packs", "[store]") {
  Place place;
  fill(place.writer);
  CHECK(place.packs.size() >= 2);
  PackSet set;
  for (const PackId& id : place.packs) REQUIRE(set.add(place.files.path_of(id), id.short_hex()));
  set.seal();
  CHECK(set.chunk_count() == 60);
  for (const Buffer& chunk : contents()) CHECK(set.read(ref_of(chunk)).value() == chunk);
  const auto missing = set.read(ref_of(noise(5, 1)));
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind() == ErrorKind::not_found);
}

TEST_CASE("pack writer: packs are named by their bytes, and their trees lead to the name",
          "[store]") {
  Place place;
  fill(place.writer);
  CHECK(place.files.list().value().size() == place.packs.size());
  for (const PackId& id : place.packs) {
    CHECK(identify(place.files.path_of(id)).value().id == id);
    CHECK(PackId(merkle_root(place.files.block_hashes(id).value())) == id);
  }
}

TEST_CASE("pack writer: the same chunks give the same packs, whatever the threads do", "[store]") {
  Place one;
  Place two;
  fill(one.writer);
  fill(two.writer);
  CHECK(one.packs == two.packs);
}

TEST_CASE("pack writer: in memory the same packs are made as in files", "[store]") {
  Place place;
  fill(place.writer);
  std::vector<PackId> packs;
  PackWriter writer({.level = 3, .frame_bytes = 100'000, .pack_bytes = 400'000},
                    [&](const format::PackSummary& summary, std::string bytes) -> Status {
                      packs.push_back(summary.id);
                      CHECK(bytes.size() == summary.size);
                      CHECK(os::read_text(place.files.path_of(summary.id), 1 << 20) == bytes);
                      return Done{};
                    });
  fill(writer);
  CHECK(packs == place.packs);
  CHECK(writer.bytes_written() == place.writer.bytes_written());
}

TEST_CASE("pack writer: a chunk given twice is stored once", "[store]") {
  Place place;
  const Buffer chunk = noise(1000, 1);
  REQUIRE(place.writer.add(ref_of(chunk), chunk, ContentClass::data));
  REQUIRE(place.writer.add(ref_of(chunk), chunk, ContentClass::text));
  REQUIRE(place.writer.finish());
  CHECK(place.files.read(place.packs.at(0)).value().index().frames.size() == 1);
}

TEST_CASE("pack writer: what is small in all is coded better, and what is not at once", "[store]") {
  const auto size = [](std::uint64_t small_bytes) {
    Scratch scratch;
    const auto files = PackFiles::open(scratch.path(), PackFiles::Access::write).value();
    PackWriter writer(
        files, {.level = 1, .small_level = 19, .small_bytes = small_bytes, .frame_bytes = 100'000},
        [](const format::PackSummary&) { return Done{}; });
    for (std::uint64_t i = 0; i < 20; ++i) {
      const Buffer chunk = tests::text(50'000, i);
      REQUIRE(writer.add(ref_of(chunk), chunk, ContentClass::text));
    }
    REQUIRE(writer.finish());
    return writer.bytes_written();
  };
  const auto never = size(0);
  CHECK(size(999'999) == never);
  CHECK(size(1'000'000) < never);
}

TEST_CASE("pack writer: what is not finished leaves nothing", "[store]") {
  const Scratch scratch;
  const auto files = PackFiles::open(scratch.path(), PackFiles::Access::write).value();
  {
    PackWriter writer(files, {.level = 1, .frame_bytes = 1000},
                      [](const format::PackSummary&) -> Status { return Done{}; });
    for (std::uint64_t i = 0; i < 20; ++i) {
      const Buffer chunk = noise(900, i);
      REQUIRE(writer.add(ref_of(chunk), chunk, ContentClass::data));
    }
  }
  CHECK(os::list_directory(scratch / "packs").value().empty());
  // A writer that was killed leaves a temporary file; the next one removes it.
  REQUIRE(files.new_temporary());
  REQUIRE(PackFiles::open(scratch.path(), PackFiles::Access::write));
  CHECK(os::list_directory(scratch / "packs").value().empty());
}

TEST_CASE("pack set: a changed byte in a pack never gives other content", "[store]") {
  Place place;
  const Buffer chunk = tests::text(3000, 5);
  REQUIRE(place.writer.add(ref_of(chunk), chunk, ContentClass::text));
  REQUIRE(place.writer.finish());
  const std::string path = place.files.path_of(place.packs.at(0));
  const Buffer good = os::read_file(path, 1 << 20).value();
  const std::string copy = place.scratch / "copy";
  for (std::size_t i = 0; i < good.size(); i += 3) {
    Buffer bad = good;
    bad[i] ^= std::byte{4};
    REQUIRE(os::write_file(copy, bad));
    PackSet set;
    if (!set.add(copy, "copy")) continue;
    set.seal();
    const auto read = set.read(ref_of(chunk));
    if (read) CHECK(*read == chunk);
  }
}
