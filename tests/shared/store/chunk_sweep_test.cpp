// Sweeps of a pack space: what goes and when, what is written anew, and what a kill leaves.
#include "shared/store/chunk_sweep.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <future>
#include <map>
#include <thread>

#include "shared/store/chunk_store.hpp"
#include "shared/store/store_check.hpp"
#include "tests/support/content.hpp"
#include "tests/support/killed_at.hpp"
#include "tests/support/patch_sender.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

constexpr Duration kGrace = std::chrono::hours{24};
constexpr WallTime kStart{1'000'000'000'000};

WallTime later(Duration after) { return {kStart.ns + after.count()}; }

// A store of which some chunks are needed.
struct Fixture {
  Scratch scratch;
  std::map<ChunkId, Buffer> chunks;
  std::set<ChunkId> needed;

  std::string directory() const { return scratch / "store"; }

  // In packs of about `pack_bytes`, with 3 or 4 chunks a frame.
  void fill(int count, std::uint64_t pack_bytes = 40'000, std::uint64_t seed = 1) {
    const auto store = ChunkStore::open(directory()).value();
    std::vector<Buffer> made;
    for (int i = 0; i < count; ++i) {
      made.push_back(noise(3000, seed * 1000 + static_cast<std::uint64_t>(i)));
      chunks[ref_of(made.back()).id] = made.back();
      needed.insert(ref_of(made.back()).id);
    }
    take_in(*store, made, pack_bytes);
  }
  void take_in(ChunkStore& store, const std::vector<Buffer>& contents,
               std::uint64_t pack_bytes = 40'000, bool only_new = false) {
    const auto files = PackFiles::open(scratch / "elsewhere", PackFiles::Access::write).value();
    PackWriter writer(
        files, {.level = 1, .frame_bytes = 10'000, .pack_bytes = pack_bytes},
        [&](const format::PackSummary& pack) -> Status {
          const std::string path = store.files().new_temporary().value();
          REQUIRE(os::write_file(path, os::read_file(files.path_of(pack.id), 1 << 24).value()));
          REQUIRE((only_new ? store.take_in_new(path, pack.id, store.source())
                            : store.take_in(path, pack.id)));
          return Done{};
        });
    for (const Buffer& content : contents)
      REQUIRE(writer.add(ref_of(content), content, ContentClass::data));
    REQUIRE(writer.finish());
  }
  // Another version of every `nth` chunk comes as a patch of it, and is needed too.
  void change(std::size_t nth) {
    const auto store = ChunkStore::open(directory()).value();
    PatchSender sender(scratch / "patches");
    const auto before = chunks;
    std::size_t i = 0;
    for (const auto& [id, content] : before) {
      if (++i % nth != 0) continue;
      const Buffer after = sender.change(content, 7);
      chunks[ref_of(after).id] = after;
      needed.insert(ref_of(after).id);
    }
    REQUIRE(sender.writer.finish());
    for (const std::string& path : sender.packs)
      REQUIRE(take_in_patches(*store, path, store->source()));
  }
  static Result<std::vector<ChunkId>> take_in_patches(ChunkStore& store, const std::string& path,
                                                      const format::ChunkSource& references) {
    const std::string handed = store.files().new_temporary().value();
    REQUIRE(os::write_file(handed, os::read_file(path, 1 << 24).value()));
    return store.take_in_new(handed, identify(path)->id, references);
  }
  // Every `nth` chunk, in the order of their ids, is needed no more.
  void drop(std::size_t nth) {
    std::size_t i = 0;
    for (const auto& [id, content] : chunks)
      if (++i % nth == 0) needed.erase(id);
  }

  SweepOptions options(WallTime now, Duration grace = kGrace) {
    SweepOptions options{.now = now, .grace = grace};
    options.needed = [this](std::uint8_t first) -> Result<std::vector<ChunkId>> {
      std::vector<ChunkId> some;
      for (const ChunkId& id : needed)
        if (std::to_integer<std::uint8_t>(id.bytes()[0]) == first) some.push_back(id);
      return some;
    };
    options.lacking = [](std::span<const ChunkId> ids) -> Status {
      return fail(ErrorKind::corrupt, std::to_string(ids.size()) + " are lacking");
    };
    return options;
  }
  Swept sweep(WallTime now, Duration grace = kGrace) {
    const auto store = ChunkStore::open(directory()).value();
    auto swept = store->sweep(options(now, grace));
    if (!swept) FAIL(swept.error().text());
    return *swept;
  }

  // What is needed reads back whole, and packs and index are sound.
  void check_sound() const {
    const auto store = ChunkStore::open(directory()).value();
    for (const ChunkId& id : needed) {
      const Buffer& content = chunks.at(id);
      const auto read = store->read(ref_of(content));
      if (!read) FAIL(read.error().text());
      CHECK(*read == content);
    }
    const StoreCheck check = check_store(directory(), {.read_data = true}).value();
    for (const StoreFinding& finding : check.findings) FAIL_CHECK(finding.text);
  }
  std::size_t packs() const {
    return PackFiles::open(directory(), PackFiles::Access::read)->list()->size();
  }
  bool has(const ChunkId& id) const {
    return ChunkStore::open(directory()).value()->has(id).value();
  }
};

}  // namespace

TEST_CASE("sweep: where all is needed nothing changes", "[store]") {
  Fixture f;
  f.fill(60);
  const std::size_t packs = f.packs();
  const Swept swept = f.sweep(kStart, Duration{});
  CHECK(swept.chunks == 60);
  CHECK(swept.packs == packs);
  CHECK(swept.packs_removed + swept.removed + swept.unneeded == 0);
  CHECK(f.packs() == packs);
  f.check_sound();
}

TEST_CASE("sweep: what nothing needs goes a grace after it was found", "[store]") {
  Fixture f;
  f.fill(40);
  f.needed.clear();
  CHECK(f.sweep(kStart).unneeded == 40);
  CHECK(f.sweep(later(kGrace - std::chrono::seconds{1})).removed == 0);
  CHECK(f.packs() > 0);
  const Swept swept = f.sweep(later(kGrace));
  CHECK(swept.removed == 40);
  CHECK(swept.packs_removed == swept.packs);
  CHECK(swept.freed.count > 40 * 3000);
  CHECK(f.packs() == 0);
  CHECK(os::list_directory(f.directory() + "/trees")->empty());
  f.check_sound();
}

TEST_CASE("sweep: what is needed again within the grace stays", "[store]") {
  Fixture f;
  f.fill(40);
  const auto all = f.needed;
  f.drop(2);
  CHECK(f.sweep(kStart).unneeded == 20);
  f.needed = all;  // A late commit.
  CHECK(f.sweep(later(kGrace)).removed == 0);
  // The grace begins anew.
  f.drop(2);
  CHECK(f.sweep(later(kGrace)).unneeded == 20);
  CHECK(f.sweep(later(kGrace + kGrace / 2)).removed == 0);
  f.check_sound();
}

TEST_CASE("sweep: who is told that a chunk is here has a grace from then on", "[store]") {
  Fixture f;
  f.fill(2);
  const std::vector<ChunkId> ids(f.needed.begin(), f.needed.end());
  f.needed.clear();
  CHECK(f.sweep(kStart).unneeded == 2);
  {
    const auto store = ChunkStore::open(f.directory()).value();
    SECTION("by a question") { CHECK(store->claim({ids[0]}).value().empty()); }
    SECTION("by content that is not stored again") {
      f.take_in(*store, {f.chunks.at(ids[0])}, 40'000, true);
    }
    SECTION("by content that is") { f.take_in(*store, {f.chunks.at(ids[0])}); }
  }
  CHECK(f.sweep(later(kGrace)).removed == 1);
  CHECK(f.has(ids[0]));
  CHECK_FALSE(f.has(ids[1]));
  CHECK(f.sweep(later(kGrace + kGrace)).removed == 1);
  CHECK_FALSE(f.has(ids[0]));
  const auto store = ChunkStore::open(f.directory()).value();
  CHECK(store->claim(ids).value() == ids);
}

TEST_CASE("sweep: a pack with much dead content is written anew", "[store]") {
  Fixture f;
  f.fill(120);
  f.drop(3);
  const std::size_t before = f.packs();
  SECTION("not for a little") {
    const Swept swept = f.sweep(kStart, Duration{});
    CHECK(swept.removed == 40);
    CHECK(swept.packs_rewritten < before / 2);
  }
  SECTION("for a good part") {
    f.drop(2);
    const Swept swept = f.sweep(kStart, Duration{});
    CHECK(swept.packs_rewritten > before / 2);
    CHECK(swept.written.count < swept.freed.count);
    CHECK(f.packs() < before);
    CHECK(f.sweep(kStart, Duration{}).packs_rewritten == 0);
  }
  SECTION("not one that a list names") {
    f.drop(2);
    const auto store = ChunkStore::open(f.directory()).value();
    auto options = f.options(kStart, Duration{});
    options.named = [&]() -> Result<std::set<PackId>> {
      const auto all = store->files().list().value();
      return std::set<PackId>(all.begin(), all.end());
    };
    const Swept swept = store->sweep(options).value();
    CHECK(swept.packs_removed == 0);
    CHECK_FALSE(swept.worn_named.empty());
  }
  SECTION("no more than a sweep may") {
    f.drop(2);
    const auto store = ChunkStore::open(f.directory()).value();
    auto options = f.options(kStart, Duration{});
    options.rewrite_most = 90_KiB;
    CHECK(store->sweep(options)->packs_rewritten == 2);
  }
  SECTION("a dry run changes nothing") {
    f.drop(2);
    const auto store = ChunkStore::open(f.directory()).value();
    auto options = f.options(kStart, Duration{});
    options.dry_run = true;
    const Swept swept = store->sweep(options).value();
    CHECK(swept.removed > 40);
    CHECK(swept.packs_rewritten > 0);
    CHECK(f.packs() == before);
    for (const auto& [id, content] : f.chunks) CHECK(store->has(id).value());
  }
  f.check_sound();
}

TEST_CASE("sweep: a pack with wrong bytes is left as it is, and said", "[store]") {
  Fixture f;
  f.fill(20, 1 << 20);
  f.drop(2);
  REQUIRE(f.packs() == 1);
  const auto files = PackFiles::open(f.directory(), PackFiles::Access::read).value();
  const PackId id = files.list()->front();
  Buffer bytes = os::read_file(files.path_of(id), 1 << 24).value();
  const Buffer& one = f.chunks.at(*f.needed.begin());
  const auto at = std::ranges::search(bytes, one).begin();
  REQUIRE(at != bytes.end());
  *at ^= std::byte{1};
  REQUIRE(os::write_file(files.path_of(id), bytes));
  const Swept swept = f.sweep(kStart, Duration{});
  CHECK(swept.unsound == std::vector<PackId>{id});
  CHECK(swept.packs_rewritten == 0);
  CHECK(files.list().value() == std::vector<PackId>{id});
}

TEST_CASE("sweep: while the index lacks what is needed no pack goes", "[store]") {
  Fixture f;
  f.fill(20);
  f.needed = {ref_of(noise(10, 5)).id};
  const std::size_t before = f.packs();
  const auto store = ChunkStore::open(f.directory()).value();
  CHECK(store->sweep(f.options(kStart, Duration{})).error().kind() == ErrorKind::corrupt);
  CHECK(f.packs() == before);
}

TEST_CASE("sweep: chunks are taken in and read meanwhile", "[store]") {
  Fixture f;
  f.fill(100);
  f.drop(2);
  f.sweep(kStart);
  const std::vector<ChunkId> needed(f.needed.begin(), f.needed.end());
  std::vector<Buffer> again;  // Were found unneeded, and are sent and needed again.
  std::vector<Buffer> fresh;
  for (const auto& [id, content] : f.chunks)
    if (!f.needed.contains(id) && again.size() < 20) again.push_back(content);
  for (std::uint64_t i = 0; i < 20; ++i) fresh.push_back(noise(3000, 900'000 + i));
  {
    const auto store = ChunkStore::open(f.directory()).value();
    auto options = f.options(later(kGrace));
    // What the sweep was told is needed does not know of what comes now.
    Result<Swept> swept = fail(ErrorKind::unavailable, "not yet");
    std::jthread sweeping([&] { swept = store->sweep(options); });
    std::jthread reading([&] {
      for (int round = 0; round < 3; ++round)
        for (const ChunkId& id : needed) {
          const auto read = store->read(ref_of(f.chunks.at(id)));
          if (!read || *read != f.chunks.at(id)) std::abort();
        }
    });
    for (std::size_t i = 0; i < 20; ++i) f.take_in(*store, {again[i], fresh[i]}, 40'000, true);
    reading.join();
    sweeping.join();
    if (!swept) FAIL(swept.error().text());
  }
  for (const auto* contents : {&again, &fresh})
    for (const Buffer& content : *contents) {
      f.chunks[ref_of(content).id] = content;
      f.needed.insert(ref_of(content).id);
    }
  f.check_sound();
  f.sweep(later(kGrace + kGrace));
  f.check_sound();
}

TEST_CASE("sweep: a patch is built while what it builds upon moves to another pack", "[store]") {
  Fixture f;
  f.fill(20, 1 << 20);
  f.drop(2);
  REQUIRE(f.packs() == 1);
  const auto store = ChunkStore::open(f.directory()).value();
  const Buffer base = f.chunks.at(*f.needed.begin());
  const PackId old = store->pack_of(ref_of(base).id).value();
  PatchSender sender(f.scratch / "patches");
  const Buffer after = sender.change(base, 7);
  REQUIRE(sender.writer.finish());
  std::promise<void> moved;
  auto options = f.options(kStart, Duration{});
  options.on_step = [&](std::string_view step) {
    if (step == "moved") moved.set_value();
  };
  std::jthread sweeping;
  Result<Swept> swept = fail(ErrorKind::unavailable, "not yet");
  const auto taken =
      Fixture::take_in_patches(*store, sender.packs[0], [&](const format::ChunkRef& ref) {
        sweeping = std::jthread([&] { swept = store->sweep(options); });
        moved.get_future().wait();
        CHECK(store->pack_of(ref.id).value() != old);
        return store->read(ref);
      });
  sweeping.join();
  REQUIRE(taken);
  REQUIRE(swept);
  CHECK(swept->packs_rewritten == 1);
  CHECK(store->read(ref_of(after)).value() == after);
}

TEST_CASE("sweep: a patch whose ground goes while it is built is refused, and can be sent whole",
          "[store]") {
  Fixture f;
  f.fill(1);
  const Buffer base = f.chunks.begin()->second;
  f.needed.clear();
  PatchSender sender(f.scratch / "patches");
  const Buffer after = sender.change(base, 7);
  REQUIRE(sender.writer.finish());
  const auto store = ChunkStore::open(f.directory()).value();
  std::promise<void> erased;
  auto options = f.options(kStart, Duration{});
  options.on_step = [&](std::string_view step) {
    if (step == "rows") erased.set_value();
  };
  std::jthread sweeping;
  Result<Swept> swept = fail(ErrorKind::unavailable, "not yet");
  const auto taken =
      Fixture::take_in_patches(*store, sender.packs[0], [&](const format::ChunkRef& ref) {
        sweeping = std::jthread([&] { swept = store->sweep(options); });
        erased.get_future().wait();
        return store->read(ref);
      });
  sweeping.join();
  REQUIRE_FALSE(taken);
  CHECK(taken.error().kind() == ErrorKind::corrupt);
  REQUIRE(swept);
  CHECK(swept->packs_removed == 1);
  CHECK_FALSE(store->has(ref_of(after).id).value());
  f.take_in(*store, {after}, 40'000, true);
  CHECK(store->read(ref_of(after)).value() == after);
}

TEST_CASE("sweep: killed at every step it leaves a sound store, and the next one finishes",
          "[store]") {
  int kills = 0;
  for (int at = 1;; ++at) {
    Fixture f;
    f.fill(18, 20'000);
    f.change(4);  // Of some the old version goes, of some the new one, of some both.
    f.drop(2);
    f.drop(3);
    const bool killed = killed_at(at, [&](const std::function<void(std::string_view)>& on_step) {
      const auto store = ChunkStore::open(f.directory()).value();
      auto options = f.options(kStart, Duration{});
      options.on_step = on_step;
      static_cast<void>(store->sweep(options));
    });
    CAPTURE(at);
    f.check_sound();
    f.sweep(kStart, Duration{});
    f.check_sound();
    CHECK(f.sweep(kStart, Duration{}).packs_removed == 0);
    {
      const auto store = ChunkStore::open(f.directory()).value();
      for (const auto& [id, content] : f.chunks)
        CHECK(store->has(id).value() == f.needed.contains(id));
    }
    if (!killed) break;
    ++kills;
  }
  CHECK(kills > 12);
}
