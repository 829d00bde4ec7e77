// Patches in packs: what a store builds from them, and how much of it at a time.
#include "shared/store/patch_writer.hpp"

#include "shared/store/chunk_store.hpp"
#include "tests/support/patch_sender.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/send.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

constexpr std::uint32_t kChunk = 256 * 1024;

}  // namespace

TEST_CASE("patch writer: what a pack makes its receiver build is bounded", "[store]") {
  const Scratch scratch;
  PatchSender sender(scratch / "client");
  const Buffer before = noise(kChunk, 1);
  for (int i = 0; i < 300; ++i) {
    Buffer base = before;
    base[1] = static_cast<std::byte>(i);
    base[2] = static_cast<std::byte>(i / 256);
    sender.change(base, 9);
  }
  REQUIRE(sender.writer.finish());
  REQUIRE(sender.packs.size() == 2);
  for (const std::string& path : sender.packs) {
    const auto pack = OpenPack::open(path, "pack").value();
    CHECK(pack.has_patches());
    std::uint64_t plain = 0;
    for (const format::Frame& frame : pack.index().frames) plain += frame.plain_size;
    CHECK(plain <= std::uint64_t{66} << 20);
  }
}

TEST_CASE("patch writer: a store builds whole chunks from what it has", "[store]") {
  const Scratch scratch;
  const auto store = ChunkStore::open(scratch / "store").value();
  std::map<ChunkId, Buffer> known;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const Buffer chunk = noise(kChunk, i);
    known[ref_of(chunk).id] = chunk;
  }
  send(*store, known, scratch / "whole");

  PatchSender sender(scratch / "client");
  std::vector<Buffer> changed;
  for (const auto& [id, chunk] : known) changed.push_back(sender.change(chunk, 7));
  REQUIRE(sender.writer.finish());
  REQUIRE(sender.packs.size() == 1);
  const auto id = identify(sender.packs[0])->id;
  CHECK(PackFiles::open(scratch / "client", PackFiles::Access::read)->size_of(id).value() < 5000);

  const auto take = [&](const format::ChunkSource& references) {
    const std::string path = store->files().new_temporary().value();
    REQUIRE(os::write_file(path, os::read_file(sender.packs[0], 1 << 20).value()));
    return store->take_in_new(path, id, references);
  };
  SECTION("once") {
    const auto taken = take(store->source());
    REQUIRE(taken);
    CHECK(taken->size() == changed.size());
    for (const Buffer& chunk : changed) CHECK(store->read(ref_of(chunk)).value() == chunk);
    // And again, as after an answer that was lost: nothing is stored twice.
    const auto packs = store->files().list().value().size();
    REQUIRE(take(store->source()));
    CHECK(store->files().list().value().size() == packs);
  }
  SECTION("not without it") {
    const auto refused = take([](const format::ChunkRef&) -> Result<Buffer> {
      return fail(ErrorKind::not_found, "gone");
    });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind() == ErrorKind::corrupt);
    CHECK_FALSE(store->has(ref_of(changed[0]).id).value());
  }
  SECTION("not from other bytes") {
    const auto refused =
        take([](const format::ChunkRef& ref) -> Result<Buffer> { return Buffer(ref.length); });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind() == ErrorKind::corrupt);
    CHECK_FALSE(store->has(ref_of(changed[0]).id).value());
  }
}
