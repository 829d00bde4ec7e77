// Packs that the disk has damaged: found block by block, set aside, taken back, killed at each
// step.
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "shared/store/chunk_rows.hpp"
#include "shared/store/chunk_store.hpp"
#include "shared/store/store_check.hpp"
#include "tests/support/killed_at.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/send.hpp"

using namespace lamina;
using tests::noise;
using tests::ref_of;
using tests::Scratch;
using State = PackLook::State;

namespace {

constexpr WallTime kNow{1'700'000'000'000'000'000};

// A store of two packs of 100 KB, each with ten chunks.
struct Stored {
  Scratch scratch;
  std::string directory = scratch / "store";
  std::vector<PackId> packs;
  std::map<PackId, std::vector<Buffer>> chunks;

  Stored() {
    const auto store = ChunkStore::open(directory).value();
    for (std::uint64_t pack = 0; pack < 2; ++pack) {
      std::vector<Buffer> held;
      for (std::uint64_t i = 0; i < 10; ++i) held.push_back(noise(10'000, 100 * pack + i + 1));
      const PackId id = put(*store, held);
      packs.push_back(id);
      chunks[id] = std::move(held);
    }
  }

  // Made elsewhere, then taken in, as from a client.
  PackId put(ChunkStore& store, const std::vector<Buffer>& held) const {
    const auto files = PackFiles::open(scratch / "elsewhere", PackFiles::Access::write).value();
    PackId id;
    PackWriter writer(files, {.level = 1}, [&](const format::PackSummary& summary) -> Status {
      id = summary.id;
      return Done{};
    });
    for (const Buffer& chunk : held)
      REQUIRE(writer.add(ref_of(chunk), chunk, ContentClass::compressed));
    REQUIRE(writer.finish());
    bring(store, id);
    return id;
  }
  void bring(ChunkStore& store, const PackId& id) const {
    const auto files = PackFiles::open(scratch / "elsewhere", PackFiles::Access::write).value();
    tests::take_in(store, files, id);
  }
  Buffer copy_of(const PackId& id) const {
    return os::read_file(scratch / "elsewhere/packs/" + id.hex(), 1 << 20).value();
  }
  std::string path_of(const PackId& id) const { return directory + "/packs/" + id.hex(); }
  void damage(const PackId& id, std::size_t at) const {
    Buffer bytes = copy_of(id);
    bytes[at] ^= std::byte{4};
    REQUIRE(os::write_file(path_of(id), bytes));
  }
  std::vector<ChunkId> ids_of(const PackId& id) const {
    std::vector<ChunkId> ids;
    for (const Buffer& chunk : chunks.at(id)) ids.push_back(ref_of(chunk).id);
    std::ranges::sort(ids);
    return ids;
  }
  std::vector<StoreFinding> findings() const {
    return check_store(directory, {.read_data = true}).value().findings;
  }
  void check_all_readable(const ChunkStore& store) const {
    for (const auto& [pack, held] : chunks)
      for (const Buffer& chunk : held) CHECK(store.read(ref_of(chunk)).value() == chunk);
  }
};

std::vector<ChunkId> sorted(std::vector<ChunkId> ids) {
  std::ranges::sort(ids);
  return ids;
}

}  // namespace

TEST_CASE("pack look: says which blocks are wrong", "[store]") {
  const Stored stored;
  const auto files = PackFiles::open(stored.directory, PackFiles::Access::read).value();
  const PackId id = stored.packs[0];
  const Buffer good = stored.copy_of(id);
  const std::size_t blocks = (good.size() + kMerkleBlockSize - 1) / kMerkleBlockSize;
  REQUIRE(blocks == 7);
  const auto look = [&] { return look_at_pack(files, id).value(); };
  CHECK(look().state == State::sound);
  CHECK_FALSE(look().are_hashes_wrong);

  SECTION("one flipped bit, wherever it is") {
    for (std::size_t at = 0; at < good.size(); at += 997) {
      stored.damage(id, at);
      const PackLook seen = look();
      INFO("byte " << at);
      CHECK(seen.state == State::broken);
      CHECK(seen.wrong_blocks == std::vector{static_cast<std::uint32_t>(at / kMerkleBlockSize)});
      CHECK(seen.text.find(id.hex()) != std::string::npos);
    }
  }
  SECTION("cut off") {
    REQUIRE(os::write_file(stored.path_of(id), ByteView(good).first(3 * kMerkleBlockSize + 5)));
    CHECK(look().state == State::broken);
    CHECK(look().wrong_blocks == std::vector<std::uint32_t>{3, 4, 5, 6});
    CHECK(look().text.find("blocks 3-6 of 7") != std::string::npos);
  }
  SECTION("longer than it was") {
    Buffer more = good;
    more.resize(8 * kMerkleBlockSize);
    REQUIRE(os::write_file(stored.path_of(id), more));
    CHECK(look().wrong_blocks == std::vector<std::uint32_t>{6, 7});
  }
  SECTION("empty") {
    REQUIRE(os::write_file(stored.path_of(id), {}));
    CHECK(look().state == State::broken);
  }
  SECTION("what cannot be read") {
    REQUIRE(os::remove_file(stored.path_of(id)));
    REQUIRE(os::make_directories(stored.path_of(id)));
    CHECK(look().state == State::broken);
  }
  SECTION("gone") {
    REQUIRE(os::remove_file(stored.path_of(id)));
    CHECK(look().state == State::lost);
  }
  SECTION("its block hashes") {
    REQUIRE(os::write_file(files.tree_path_of(id), as_view(std::string(64, 'x'))));
    CHECK(look().state == State::sound);
    CHECK(look().are_hashes_wrong);
    stored.damage(id, 5);
    CHECK(look().state == State::broken);
    CHECK(look().wrong_blocks.empty());
  }
  SECTION("who reads may be told to stop") {
    Bytes read;
    const auto stopped = look_at_pack(files, id, [&](Bytes piece) -> Status {
      read += piece;
      return fail(ErrorKind::unavailable, "stop");
    });
    CHECK(stopped.error().text() == "stop");
    CHECK(read == Bytes{static_cast<std::int64_t>(good.size())});
  }
}

TEST_CASE("lost pack: a note is read back, and no other bytes are one", "[store]") {
  const LostPack note{
      .pack = digest<PackId>(as_view("pack")),
      .found = kNow,
      .size = 77,
      .text = "block 3 of 7",
      .wrong_blocks = {3, 5},
      .chunks = {{digest<ChunkId>(as_view("b")), 5}, {digest<ChunkId>(as_view("a")), 6}}};
  LostPack ascending = note;
  std::ranges::sort(ascending.chunks, {}, &format::ChunkRef::id);
  const Buffer bytes = encode(ascending);
  CHECK(parse_lost_pack(bytes).value() == ascending);
  LostPack descending = ascending;
  std::ranges::reverse(descending.chunks);
  CHECK(parse_lost_pack(encode(descending)).error().kind() == ErrorKind::corrupt);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    Buffer bad = bytes;
    bad[i] ^= std::byte{1};
    CHECK_FALSE(parse_lost_pack(bad));
    CHECK_FALSE(parse_lost_pack(ByteView(bytes).first(i)));
  }

  const Scratch scratch;
  const std::string space = scratch / "space";
  CHECK(read_lost_packs(space).value().empty());
  REQUIRE(write_lost_pack(space, ascending));
  CHECK(read_lost_packs(space).value() == std::vector{ascending});
  // One that is damaged itself says still which pack it is of.
  REQUIRE(os::write_file(unsound_path(space, note.pack) + ".lost", as_view("nothing")));
  const auto read = read_lost_packs(space).value();
  REQUIRE(read.size() == 1);
  CHECK(read[0].pack == note.pack);
  CHECK(read[0].chunks.empty());
  REQUIRE(remove_lost_pack(space, note.pack));
  CHECK(read_lost_packs(space).value().empty());
}

TEST_CASE("quarantine: a damaged pack is set aside, and its chunks are not here", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[0];
  const bool is_lost = GENERATE(false, true);
  if (is_lost)
    REQUIRE(os::remove_file(stored.path_of(id)));
  else
    stored.damage(id, 20'000);
  {
    const auto store = ChunkStore::open(stored.directory).value();
    CHECK(store->lost(stored.ids_of(id)).value().empty());
    const PackLook look = look_at_pack(store->files(), id).value();
    const auto note = store->set_aside(id, look, kNow).value();
    REQUIRE(note);
    CHECK(note->chunks.size() == 10);
    CHECK(note->wrong_blocks == (is_lost ? std::vector<std::uint32_t>{} : std::vector{1U}));
    CHECK_FALSE(store->files().has(id));
    CHECK(os::exists(unsound_path(stored.directory, id)) == !is_lost);
    CHECK(store->lacking(stored.ids_of(id)).value() == stored.ids_of(id));
    CHECK(sorted(store->lost(stored.ids_of(id)).value()) == stored.ids_of(id));
    CHECK(store->lost(stored.ids_of(stored.packs[1])).value().empty());
    CHECK(store->read(ref_of(stored.chunks.at(id)[3])).error().kind() == ErrorKind::not_found);
    // Seen once more by somebody who looked before: nothing happens.
    CHECK_FALSE(store->set_aside(id, look, kNow).value());
  }
  const auto findings = stored.findings();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].kind == StoreFinding::Kind::pack_aside);
  CHECK(findings[0].unreadable.size() == 10);

  const auto store = ChunkStore::open(stored.directory).value();
  REQUIRE(store->lost_packs().size() == 1);
  SECTION("the pack comes back") {
    stored.bring(*store, id);
    CHECK(store->lost_packs().empty());
    stored.check_all_readable(*store);
  }
  SECTION("its chunks come back in other packs") {
    std::vector<Buffer> some(stored.chunks.at(id).begin(), stored.chunks.at(id).begin() + 4);
    stored.put(*store, some);
    CHECK(store->lost(stored.ids_of(id)).value().size() == 6);
    std::vector<Buffer> rest(stored.chunks.at(id).begin() + 4, stored.chunks.at(id).end());
    stored.put(*store, rest);
    CHECK(store->lost(stored.ids_of(id)).value().empty());
    CHECK(store->lost_packs().size() == 1);
    REQUIRE(store->drop_lost(id));
    stored.check_all_readable(*store);
  }
  CHECK(stored.findings().empty());
}

TEST_CASE("quarantine: a pack that is there again is not set aside", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[0];
  const auto store = ChunkStore::open(stored.directory).value();
  const bool was_lost = GENERATE(false, true);
  if (was_lost)
    REQUIRE(os::remove_file(stored.path_of(id)));
  else
    stored.damage(id, 20'000);
  const PackLook look = look_at_pack(store->files(), id).value();
  REQUIRE(look.state == (was_lost ? State::lost : State::broken));
  if (was_lost)
    stored.bring(*store, id);
  else
    REQUIRE(os::write_file(stored.path_of(id), stored.copy_of(id)));
  CHECK_FALSE(store->set_aside(id, look, kNow).value());
  stored.check_all_readable(*store);
}

TEST_CASE("quarantine: what is wrong beside a sound pack is made right", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[0];
  const ChunkId chunk = stored.ids_of(id)[2];
  REQUIRE(os::remove_file(stored.directory + "/trees/" + id.hex()));
  {
    const auto index = Kv::open(stored.directory + "/index").value();
    REQUIRE(index->write([&](Kv::Edit& edit) {
      return edit.put(chunk_rows::key_of(chunk), chunk_rows::row_of({id, 7, 1, 2}));
    }));
    const ChunkId other = stored.ids_of(id)[4];
    REQUIRE(index->write(
        [&](Kv::Edit& edit) { return edit.put(chunk_rows::key_of(other), "nothing"); }));
  }
  const auto store = ChunkStore::open(stored.directory).value();
  const PackLook look = look_at_pack(store->files(), id).value();
  CHECK(look.are_hashes_wrong);
  CHECK(store->mend(id, look).value() == 3);
  CHECK(store->mend(id, look_at_pack(store->files(), id).value()).value() == 0);
  stored.check_all_readable(*store);
  CHECK(stored.findings().empty());
}

TEST_CASE("quarantine: killed at every step it is finished by the next look", "[store]") {
  const bool is_lost = GENERATE(false, true);
  int kills = 0;
  for (int at = 1;; ++at) {
    const Stored stored;
    const PackId id = stored.packs[0];
    if (is_lost)
      REQUIRE(os::remove_file(stored.path_of(id)));
    else
      stored.damage(id, 50'000);
    const bool killed = tests::killed_at(at, [&](const auto& on_step) {
      const auto store = ChunkStore::open(stored.directory).value();
      const PackLook look = look_at_pack(store->files(), id).value();
      static_cast<void>(store->set_aside(id, look, kNow, on_step));
    });
    INFO("killed at " << at);
    const auto store = ChunkStore::open(stored.directory).value();
    REQUIRE(store->lost_packs().size() == 1);
    const PackLook look = look_at_pack(store->files(), id).value();
    REQUIRE(look.state != State::sound);
    CHECK(store->set_aside(id, look, kNow));
    REQUIRE(store->lost_packs().size() == 1);
    CHECK(store->lost_packs()[0].chunks.size() == 10);
    CHECK(sorted(store->lost(stored.ids_of(id)).value()) == stored.ids_of(id));
    stored.bring(*store, id);
    stored.check_all_readable(*store);
    CHECK(store->lost_packs().empty());
    if (!killed) break;
    ++kills;
  }
  CHECK(kills == (is_lost ? 2 : 3));
}

TEST_CASE("quarantine: one that was begun is undone when the pack is sound after all", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[0];
  // As a kill leaves it after the rows went, with the bytes put back by hand.
  stored.damage(id, 1000);
  REQUIRE(tests::killed_at(2, [&](const auto& on_step) {
    const auto store = ChunkStore::open(stored.directory).value();
    const PackLook look = look_at_pack(store->files(), id).value();
    static_cast<void>(store->set_aside(id, look, kNow, on_step));
  }));
  REQUIRE(os::write_file(stored.path_of(id), stored.copy_of(id)));
  const auto store = ChunkStore::open(stored.directory).value();
  CHECK(store->lacking(stored.ids_of(id)).value().size() == 10);
  CHECK(store->mend(id, look_at_pack(store->files(), id).value()).value() == 11);
  stored.check_all_readable(*store);
  CHECK(store->lost_packs().empty());
}
