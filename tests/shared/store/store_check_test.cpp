#include "shared/store/store_check.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "shared/store/chunk_rows.hpp"
#include "shared/store/chunk_store.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/send.hpp"

using namespace lamina;
using tests::noise;
using tests::ref_of;
using tests::Scratch;
using Kind = StoreFinding::Kind;

namespace {

// A store of three packs with four chunks each.
struct Stored {
  Scratch scratch;
  std::string directory = scratch / "store";
  std::vector<PackId> packs;
  std::map<PackId, std::vector<Buffer>> chunks;

  Stored() {
    const auto store = ChunkStore::open(directory).value();
    for (std::uint64_t pack = 0; pack < 3; ++pack) {
      const auto files = PackFiles::open(scratch / "elsewhere", PackFiles::Access::write).value();
      PackId id;
      std::vector<Buffer> held;
      PackWriter writer(files, {.level = 1, .frame_bytes = 700},
                        [&](const format::PackSummary& summary) -> Status {
                          id = summary.id;
                          return Done{};
                        });
      for (std::uint64_t i = 0; i < 4; ++i) held.push_back(tests::text(300, 10 * pack + i));
      for (const Buffer& chunk : held)
        REQUIRE(writer.add(ref_of(chunk), chunk, ContentClass::data));
      REQUIRE(writer.finish());
      tests::take_in(*store, files, id);
      packs.push_back(id);
      chunks[id] = std::move(held);
    }
  }

  std::string path_of(const PackId& id) const { return directory + "/packs/" + id.hex(); }
  std::string tree_of(const PackId& id) const { return directory + "/trees/" + id.hex(); }
  StoreCheck check(bool read_data = false) const {
    auto checked = check_store(directory, {.read_data = read_data});
    REQUIRE(checked);
    return std::move(*checked);
  }
  // The only finding.
  StoreFinding finding(bool read_data = false) const {
    const StoreCheck checked = check(read_data);
    REQUIRE(checked.findings.size() == 1);
    return checked.findings.front();
  }
  std::set<ChunkId> ids_of(const PackId& pack) const {
    std::set<ChunkId> ids;
    for (const Buffer& chunk : chunks.at(pack)) ids.insert(ref_of(chunk).id);
    return ids;
  }
  StoreRepair repair() const {
    auto repaired = repair_store(directory, {});
    REQUIRE(repaired);
    return std::move(*repaired);
  }
  void check_all_readable() const {
    const auto store = ChunkStore::open(directory).value();
    for (const auto& [pack, held] : chunks)
      for (const Buffer& chunk : held) CHECK(store->read(ref_of(chunk)).value() == chunk);
  }
};

}  // namespace

TEST_CASE("store check: a sound store, whole and in parts", "[store]") {
  const Stored stored;
  const StoreCheck fast = stored.check();
  CHECK(fast.findings.empty());
  CHECK(fast.packs == 3);
  CHECK(fast.chunks == 12);
  CHECK(fast.read == Bytes{});
  CHECK(stored.check(true).read > Bytes{});
  std::uint64_t packs = 0;
  for (std::uint32_t part = 1; part <= 5; ++part)
    packs += check_store(stored.directory, {.part = part, .parts = 5}).value().packs;
  CHECK(packs == 3);
  CHECK(check_store(stored.directory + "/nothing", {}).error().kind() == ErrorKind::not_found);
}

TEST_CASE("store check: every flipped bit of a pack and of its block hashes is found", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[1];
  for (const std::string& path : {stored.path_of(id), stored.tree_of(id)}) {
    const Buffer good = os::read_file(path, 1 << 20).value();
    for (std::size_t i = 0; i < good.size(); ++i) {
      Buffer bad = good;
      bad[i] ^= std::byte{1} << (i % 8);
      REQUIRE(os::write_file(path, bad));
      INFO(path << " byte " << i);
      const StoreFinding finding = stored.finding(true);
      CHECK(finding.pack == id);
      CHECK(finding.kind == (path == stored.path_of(id) ? Kind::pack_broken : Kind::hashes_broken));
      for (const ChunkId& chunk : finding.unreadable) CHECK(stored.ids_of(id).contains(chunk));
    }
    REQUIRE(os::write_file(path, good));
  }
  CHECK(stored.check(true).findings.empty());
}

TEST_CASE("store check: content that is broken is named chunk by chunk", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[0];
  const OpenPack pack = OpenPack::open(stored.path_of(id), "pack").value();
  REQUIRE(pack.index().frames.size() > 1);
  const format::Frame& frame = pack.index().frames.front();
  Buffer bytes = os::read_file(stored.path_of(id), 1 << 20).value();
  bytes[frame.offset + frame.coded_size / 2] ^= std::byte{4};
  REQUIRE(os::write_file(stored.path_of(id), bytes));
  CHECK(stored.check().findings.empty());  // Its index says nothing of that.
  std::set<ChunkId> in_frame;
  for (const format::ChunkRef& chunk : frame.chunks) in_frame.insert(chunk.id);
  const StoreFinding finding = stored.finding(true);
  CHECK_FALSE(finding.unreadable.empty());
  CHECK(std::ranges::includes(in_frame, finding.unreadable));
  // Exactly those: the frame may still decode.
  const auto store = ChunkStore::open(stored.directory).value();
  for (const auto& [pack, held] : stored.chunks)
    for (const Buffer& chunk : held)
      CHECK(store->read(ref_of(chunk)).has_value() !=
            finding.unreadable.contains(ref_of(chunk).id));
}

TEST_CASE("store check: a pack that is gone, and what it had", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[2];
  REQUIRE(os::remove_file(stored.path_of(id)));
  const StoreFinding finding = stored.finding();
  CHECK(finding.kind == Kind::pack_lost);
  CHECK(finding.unreadable == stored.ids_of(id));
  // Repaired, the store asks for it again.
  CHECK(stored.repair().removed == 4);
  CHECK(stored.check(true).findings.empty());
  const auto store = ChunkStore::open(stored.directory).value();
  CHECK_FALSE(store->has(*stored.ids_of(id).begin()).value());
}

TEST_CASE("store repair: an unsound pack makes room for a good one", "[store]") {
  const Stored stored;
  const PackId id = stored.packs[2];
  const Buffer good = os::read_file(stored.path_of(id), 1 << 20).value();
  Buffer bad = good;
  bad[40] ^= std::byte{1};
  REQUIRE(os::write_file(stored.path_of(id), bad));
  CHECK(stored.repair().unsound == std::vector{id});
  CHECK(os::read_file(stored.directory + "/unsound/" + id.hex(), 1 << 20).value() == bad);
  {
    const auto store = ChunkStore::open(stored.directory).value();
    CHECK_FALSE(store->has(*stored.ids_of(id).begin()).value());
    const std::string path = store->files().new_temporary().value();
    REQUIRE(os::write_file(path, good));
    REQUIRE(store->take_in(path, id));
  }
  stored.check_all_readable();
  CHECK(stored.check(true).findings.empty());
}

TEST_CASE("store repair: index and block hashes are made anew from the packs", "[store]") {
  const Stored stored;
  SECTION("the index is gone") {
    REQUIRE(os::remove_tree(stored.directory + "/index"));
    CHECK(stored.finding().kind == Kind::index_lost);
    // Nobody goes on with an empty one.
    CHECK(ChunkStore::open(stored.directory).error().kind() == ErrorKind::corrupt);
    CHECK(stored.repair().index_was_broken);
  }
  SECTION("the index is no database") {
    REQUIRE(os::write_file(stored.directory + "/index/data.mdb", noise(8192, 1)));
    CHECK(stored.finding().kind == Kind::index_lost);
    CHECK(stored.repair().index_was_broken);
  }
  SECTION("rows are missing, wrong and too many") {
    const ChunkId first = *stored.ids_of(stored.packs[0]).begin();
    const ChunkId second = *stored.ids_of(stored.packs[1]).begin();
    {
      auto index = Kv::open(stored.directory + "/index").value();
      REQUIRE(index->write([&](Kv::Edit& edit) -> Status {
        if (auto done = edit.erase(chunk_rows::key_of(first)); !done) return done;
        if (auto done = edit.put(chunk_rows::key_of(second),
                                 chunk_rows::row_of({stored.packs[1], 0, 1, 300}));
            !done)
          return done;
        return edit.put(chunk_rows::key_of(ref_of(noise(9, 9)).id),
                        chunk_rows::row_of({stored.packs[2], 0, 0, 9}));
      }));
    }
    std::map<PackId, Kind> found;
    const StoreCheck check = stored.check();
    for (const StoreFinding& finding : check.findings) found[finding.pack] = finding.kind;
    CHECK(check.unknown == 1);
    CHECK(found == std::map<PackId, Kind>{{stored.packs[1], Kind::rows_wrong},
                                          {stored.packs[2], Kind::rows_wrong}});
    const StoreRepair repair = stored.repair();
    CHECK(repair.added == 1);
    CHECK(repair.removed == 1);
  }
  SECTION("block hashes are gone") {
    REQUIRE(os::remove_file(stored.tree_of(stored.packs[1])));
    CHECK(stored.finding().kind == Kind::hashes_broken);
    CHECK(stored.repair().hashes == 1);
  }
  SECTION("nothing is wrong") {
    const StoreRepair repair = stored.repair();
    CHECK(repair.packs == 3);
    CHECK(repair.added + repair.removed + repair.hashes == 0);
  }
  SECTION("not while another process has the store") {
    const auto store = ChunkStore::open(stored.directory).value();
    CHECK(repair_store(stored.directory, {}).error().kind() == ErrorKind::unavailable);
  }
  stored.repair();
  CHECK(stored.check(true).findings.empty());
  stored.check_all_readable();
}
