// Collections of garbage at an origin: what goes, what stays, what late comers and kills leave.
#include "origin/garbage.hpp"

#include <atomic>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "origin/backup/backup.hpp"
#include "shared/os/lock.hpp"
#include "tests/origin/worked_origin.hpp"
#include "tests/support/killed_at.hpp"
#include "tests/support/patch_sender.hpp"
#include "tests/support/send.hpp"

using namespace lamina;
using namespace lamina::origin;
using namespace lamina::tests;

namespace {

using Fixture = WorkedOrigin;

}  // namespace

TEST_CASE("gc: where all is needed nothing goes", "[origin]") {
  Fixture f;
  f.layer("1.0", seeds(1, 5));
  f.assign(f.ann, {"os:1.0"});
  f.snapshot(f.ann, seeds(1, 8));
  const auto report = f.collect(kStart, kAtOnce);
  CHECK(report.snapshots == 1);
  CHECK(report.links.removed + report.links.unneeded == 0);
  CHECK(report.cvds.packs_removed + report.layers.packs_removed + report.objects_removed == 0);
  f.check_whole();
}

TEST_CASE("gc: a removed snapshot's content goes, what others share with it stays", "[origin]") {
  Fixture f;
  const DeviceId bob = f.enrol(2);
  const SnapshotId old = f.snapshot(f.ann, seeds(1, 20));
  f.snapshot(f.ann, seeds(15, 22));
  f.snapshot(bob, seeds(1, 3));
  const Bytes before = f.stored("cvd");
  CHECK(f.collect(kStart, kAtOnce).links.removed == 0);
  f.forget(f.ann, old);
  CHECK(f.collect(kStart).links.unneeded > 10);
  CHECK(f.stored("cvd") == before);
  f.check_whole();
  // A device may still commit what it was told is there; then its chunks wait in the store.
  CHECK(f.collect(later(kLateCommit)).links.removed > 10);
  CHECK(f.stored("cvd") == before);
  const auto report = f.collect(later(kLateCommit + kLatePublish));
  CHECK(report.cvds.removed > 10);
  CHECK(report.cvds.packs_rewritten > 0);
  CHECK(report.freed().count > 500'000);
  CHECK(before - f.stored("cvd") == report.freed());
  CHECK(Fixture::Open(f).catalog.collections()->back().removed ==
        report.freed() + report.cvds.written);
  f.check_whole();
  // The record's file is new by the system's clock: a collection that waits for nobody takes it.
  CHECK(os::exists(f.data.object("snapshots", old.hex())));
  CHECK(f.collect(kStart, kAtOnce).objects_removed == 1);
  CHECK_FALSE(os::exists(f.data.object("snapshots", old.hex())));
  f.check_whole();
  const auto again = f.collect(later(kLateCommit + 2 * kLatePublish));
  CHECK(again.freed().count == 0);
  CHECK(again.cvds.unneeded == 0);
}

TEST_CASE("gc: retention is applied first", "[origin]") {
  Fixture f;
  constexpr Duration kDay = std::chrono::hours{24};
  const SnapshotId old = f.snapshot(f.ann, seeds(1, 3), later(-3 * kDay));
  f.snapshot(f.ann, seeds(2, 4), later(-kDay));
  f.snapshot(f.ann, seeds(3, 5), kStart);
  {
    Fixture::Open origin(f);
    REQUIRE(origin.catalog.set_retention({"test", kStart}, {}, wire::RetentionRule{.daily = 2}));
  }
  GarbageOptions dry = kAtOnce;
  dry.dry_run = true;
  const auto would = f.collect(kStart, dry);
  CHECK(would.snapshots_removed == 1);
  CHECK(would.links.removed > 0);
  CHECK(f.collect(kStart, dry).snapshots_removed == 1);
  f.check_whole();
  const auto report = f.collect(kStart, kAtOnce);
  CHECK(report.snapshots_removed == 1);
  CHECK(report.links.removed == would.links.removed);
  f.snapshots.erase(old);
  f.check_whole();
}

TEST_CASE("gc: a late commit within the grace finds all that it was promised", "[origin]") {
  Fixture f;
  const SnapshotId old = f.snapshot(f.ann, seeds(1, 6));
  f.snapshot(f.ann, seeds(20, 21));
  f.forget(f.ann, old);
  f.collect(kStart);
  // Some way into the grace the device asks, is told that it need not send, and goes offline.
  const Captured again = f.tree(seeds(1, 6));
  std::vector<ChunkId> content;
  for (const int seed : seeds(1, 6)) {
    const Buffer file = noise(60'000, std::uint64_t(seed));
    for (const auto& [id, plain] : again.chunks)
      if (std::ranges::search(file, plain).begin() != file.end()) content.push_back(id);
  }
  REQUIRE(content.size() > 6);
  const auto asked = later(kLateCommit - std::chrono::hours{1});
  {
    Fixture::Open origin(f);
    CHECK(origin.catalog.lacks(f.ann, content)->empty());
  }
  f.collect(asked);
  f.collect(later(kLateCommit + kLatePublish));
  SECTION("then it commits: nothing is asked for again") {
    Fixture::Open origin(f);
    CHECK(origin.catalog.lacks(f.ann, content)->empty());
    f.send_new(origin, f.ann, again);
    CHECK(f.commit(origin, f.ann, again, kStart));
  }
  SECTION("after the grace it is told what to send, and nothing is promised that is not there") {
    f.collect(later(2 * kLateCommit + kLatePublish));
    f.collect(later(2 * kLateCommit + 3 * kLatePublish));
    Fixture::Open origin(f);
    CHECK(origin.catalog.lacks(f.ann, content).value() == content);
    CHECK_FALSE(f.commit(origin, f.ann, again, kStart));
    f.send_new(origin, f.ann, again);
    CHECK(f.commit(origin, f.ann, again, kStart));
  }
  f.check_whole();
  f.collect(later(4 * kLateCommit));
  f.collect(later(5 * kLateCommit));
  f.check_whole();
}

TEST_CASE("gc: a patch finds what it builds upon, or is refused", "[origin]") {
  Fixture f;
  const Buffer base = noise(60'000, 90);
  const auto send_whole = [&](const Buffer& chunk) {
    Fixture::Open origin(f);
    tests::send(origin.content->cvds(), {{ref_of(chunk).id, chunk}}, f.scratch / "whole");
    REQUIRE(origin.catalog.link_chunks(f.ann, {ref_of(chunk).id}));
  };
  const auto is_here = [&](const Buffer& chunk) {
    return Fixture::Open(f).content->cvds().has(ref_of(chunk).id).value();
  };
  // Of a snapshot that is gone: the device may still build upon it.
  send_whole(base);
  f.collect(kStart);
  PatchSender sender(f.scratch / "patches");
  const Buffer after = sender.change(base, 7);
  REQUIRE(sender.writer.finish());
  SECTION("who was seen to have it has a grace from then on") {
    const auto taken = f.send_patches(f.ann, sender.packs[0], [&] {
      for (const Duration more : {Duration{}, kLatePublish, 2 * kLatePublish})
        f.collect(later(kLateCommit + more));
    });
    REQUIRE(taken);
    CHECK(Fixture::Open(f).content->cvds().read(ref_of(after)).value() == after);
    f.check_whole();
    return;
  }
  SECTION("after it the device hears that it is not here") {
    f.collect(later(kLateCommit));
    CHECK(f.send_patches(f.ann, sender.packs[0]).error().kind() == ErrorKind::corrupt);
  }
  SECTION("a collection that waits for nobody takes it in between") {
    const auto refused =
        f.send_patches(f.ann, sender.packs[0], [&] { f.collect(kStart, kAtOnce); });
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind() == ErrorKind::corrupt);
    CHECK_FALSE(is_here(base));
  }
  // Then it sends everything that the origin lacks.
  CHECK_FALSE(is_here(after));
  CHECK(Fixture::Open(f).catalog.lacks(f.ann, {ref_of(after).id})->size() == 1);
  send_whole(after);
  CHECK(is_here(after));
  f.check_whole();
}

TEST_CASE("gc: an upload that was never committed goes, one that is under way stays", "[origin]") {
  Fixture f;
  const Captured captured = f.tree(seeds(1, 6));
  {
    Fixture::Open origin(f);
    f.send_new(origin, f.ann, captured);
  }
  f.collect(kStart);
  f.collect(later(kLateCommit / 2));
  {
    Fixture::Open origin(f);
    REQUIRE(f.commit(origin, f.ann, captured, kStart));
  }
  f.collect(later(kLateCommit));
  f.collect(later(2 * kLateCommit));
  f.check_whole();

  const DeviceId bob = f.enrol(2);
  const Captured given_up = f.tree(seeds(30, 36));
  {
    Fixture::Open origin(f);
    f.send_new(origin, bob, given_up);
  }
  for (const Duration after : {3 * kLateCommit, 4 * kLateCommit, 4 * kLateCommit + kLatePublish})
    f.collect(later(after));
  Fixture::Open origin(f);
  for (const auto& [id, plain] : given_up.chunks)
    CHECK(origin.content->cvds().has(id).value() == captured.chunks.contains(id));
}

TEST_CASE("gc: a removed layer's packs go when no snapshot rests on it", "[origin]") {
  Fixture f;
  const LayerId one = f.layer("1.0", seeds(1, 12));
  const LayerId two = f.layer("1.1", seeds(10, 14));
  f.assign(f.ann, {"os:1.0"});
  const SnapshotId resting = f.snapshot(f.ann, seeds(1, 12));
  f.assign(f.ann, {"os:1.1"});
  f.snapshot(f.ann, seeds(10, 15));
  f.remove_layer(one);
  const Bytes before = f.stored("layers");
  auto report = f.collect(kStart, kAtOnce);
  CHECK(report.layers_released == 0);
  // No chunk goes. The older copies of what was written anew for 1.1 do: no layer names their packs.
  CHECK(report.layers.removed == 0);
  CHECK(f.stored("layers").count < before.count);
  CHECK_FALSE(os::exists(f.data.object("layers", one.hex())));
  CHECK(os::exists(f.data.object("layers", two.hex())));
  CHECK(os::list_directory(f.data.torrents())->size() == 1);
  f.check_whole();

  f.forget(f.ann, resting);
  report = f.collect(kStart, kAtOnce);
  CHECK(report.layers_released == 1);
  CHECK(report.layer_rows_removed > 12);
  CHECK(report.layers.removed > 8);
  // What 1.1 has of 1.0's packs was written anew for it: they go whole.
  CHECK(report.layers.worn_named.empty());
  CHECK(report.layers.packs_removed > 0);
  CHECK(report.layers.packs_rewritten == 0);
  f.check_whole();

  // Nobody has 1.1 any more, and the only snapshot that is left rests on neither.
  f.assign(f.ann, {});
  f.remove_layer(two);
  const SnapshotId last = f.snapshots.begin()->first;
  f.snapshot(f.ann, seeds(40, 41));
  f.forget(f.ann, last);
  f.collect(kStart, kAtOnce);
  CHECK(f.stored("layers").count == 0);
  CHECK(os::list_directory(f.data.torrents())->empty());
  f.check_whole();
}

TEST_CASE("gc: what cannot be read keeps all of its device", "[origin]") {
  Fixture f;
  const DeviceId bob = f.enrol(2);
  const SnapshotId old = f.snapshot(f.ann, seeds(1, 6));
  const SnapshotId broken = f.snapshot(f.ann, seeds(3, 7));
  f.snapshot(f.ann, seeds(4, 8));
  const SnapshotId bobs = f.snapshot(bob, seeds(20, 25));
  f.snapshot(bob, seeds(26, 27));
  f.forget(f.ann, old);
  f.forget(bob, bobs);
  REQUIRE(os::write_file(f.data.object("snapshots", broken.hex()), as_view("nothing")));
  const auto report = f.collect(kStart, kAtOnce);
  REQUIRE(report.unreadable.size() == 1);
  CHECK(report.unreadable[0].device == f.ann);
  CHECK(report.links.removed > 5);  // Bob's.
  Fixture::Open origin(f);
  std::vector<ChunkId> all;
  for (const auto& [id, plain] : f.snapshots.at(broken).chunks) all.push_back(id);
  CHECK(origin.catalog.unreadable(f.ann, all)->empty());
}

TEST_CASE("gc: the command, beside a process that has the stores and without a catalogue",
          "[origin]") {
  Fixture f;
  const SnapshotId old = f.snapshot(f.ann, seeds(1, 9));
  f.snapshot(f.ann, seeds(9, 10));
  f.forget(f.ann, old);
  {
    Fixture::Open serving(f);
    CHECK(f.run({"gc", "--data", f.path.c_str()}) == 4);
  }
  REQUIRE(f.run({"gc", "--data", f.path.c_str(), "--grace", "0 s", "--store-grace", "0 s",
                 "--dry-run", "--json"}) == 0);
  auto gc = nlohmann::json::parse(f.out).at("gc");
  CHECK(gc.at("dry_run") == true);
  CHECK(gc.at("links_removed") > 5);
  CHECK(gc.at("freed_bytes") == 0);
  f.check_whole();
  REQUIRE(f.run({"gc", "--data", f.path.c_str(), "--grace", "0 s", "--store-grace", "0 s",
                 "--json"}) == 0);
  gc = nlohmann::json::parse(f.out).at("gc");
  CHECK(gc.at("links_removed") > 5);
  CHECK(gc.at("freed_bytes") > 300'000);
  CHECK(gc.at("cvd").at("packs_removed") > 0);
  CHECK(gc.at("objects_removed") == 1);
  f.check_whole();
  CHECK(f.run({"gc", "--data", f.path.c_str()}) == 0);
  CHECK(f.out.find("freed") != std::string::npos);
  CHECK(f.run({"gc", "--data", f.path.c_str(), "--grace", "soon"}) == 2);
  CHECK(f.run({"gc", "--data", "/nowhere"}) == 3);
  REQUIRE(os::remove_file(f.data.catalog() + "/data.mdb"));
  CHECK(f.run({"gc", "--data", f.path.c_str()}) == 6);
  CHECK(f.err.find("lamina-origin rebuild") != std::string::npos);
}

TEST_CASE("gc: nothing goes under a backup, and a restored one has what its catalogue names",
          "[origin]") {
  Fixture f;
  const LayerId one = f.layer("1.0", seeds(1, 4));
  f.layer("1.1", seeds(4, 6));
  const SnapshotId old = f.snapshot(f.ann, seeds(1, 12));
  f.snapshot(f.ann, seeds(9, 14));
  const std::string to = f.scratch / "backup";
  const auto restored = [&](const std::string& at) {
    REQUIRE(f.run({"restore", "--from", to.c_str(), "--data", at.c_str()}) == 0);
    f.use(at);
    f.check_whole();
  };
  const auto gc = [&] {
    return f.run({"gc", "--data", f.path.c_str(), "--grace", "0 s", "--store-grace", "0 s"});
  };
  const auto layers = f.layers;
  const auto snapshots = f.snapshots;
  std::set<std::string> steps;
  std::ostringstream out;
  lamina::cli::Progress progress(out, false);
  const auto backed_up =
      run_backup(f.data, {.to = to}, kStart, out, progress, [&](std::string_view step) {
        // From the moment on at which the rows are read; before, the step is "begun".
        if (step == "begun" || !steps.emplace(step).second) return;
        if (step == "rows") {
          f.forget(f.ann, old);
          f.remove_layer(one);
        }
        CHECK(gc() == 4);
        CHECK(f.err.find("`backup`") != std::string::npos);
      });
  if (!backed_up) FAIL(backed_up.error().text());
  CHECK(steps.size() > 4);
  REQUIRE(gc() == 0);
  f.check_whole();

  SECTION("that one") {
    std::tie(f.layers, f.snapshots) = std::tie(layers, snapshots);
    restored(f.scratch / "restored");
  }
  SECTION("the next one into the same directory, with what was collected in it still") {
    REQUIRE(f.run({"backup", "--data", f.path.c_str(), "--to", to.c_str()}) == 0);
    const Bytes lean = f.stored("cvd");
    restored(f.scratch / "restored");
    CHECK(f.stored("cvd") > lean);
    REQUIRE(gc() == 0);
    CHECK(f.stored("cvd") <= lean);
    f.check_whole();
  }
}

TEST_CASE("gc: a backup waits for the collection that is under way", "[origin]") {
  Fixture f;
  f.snapshot(f.ann, seeds(1, 3));
  std::optional<os::FileLock> collecting;
  collecting.emplace(
      std::move(*os::FileLock::take_directory(f.data.keys(), os::FileLock::Mode::alone)));
  std::atomic<bool> is_over = false;
  std::promise<void> waiting;
  std::vector<std::string> early;
  {
    const std::jthread backing_up([&] {
      std::ostringstream out;
      lamina::cli::Progress progress(out, false);
      const auto done = run_backup(f.data, {.to = f.scratch / "backup"}, kStart, out, progress,
                                   [&](std::string_view step) {
                                     if (step == "waiting")
                                       waiting.set_value();
                                     else if (step != "begun" && !is_over)
                                       early.emplace_back(step);
                                   });
      if (!done) early.push_back(done.error().text());
    });
    waiting.get_future().wait();
    is_over = true;
    collecting.reset();
  }
  CHECK(early.empty());
}

TEST_CASE("gc: from its journal the catalogue comes back as the collection left it", "[origin]") {
  Fixture f;
  const LayerId one = f.layer("1.0", seeds(1, 4));
  f.layer("1.1", seeds(4, 6));
  const SnapshotId old = f.snapshot(f.ann, seeds(4, 12));
  f.snapshot(f.ann, seeds(9, 14));
  f.forget(f.ann, old);
  f.remove_layer(one);
  const bool at_once = GENERATE(false, true);
  f.collect(kStart, at_once ? kAtOnce : GarbageOptions());
  REQUIRE(os::remove_tree(f.data.catalog()));
  REQUIRE(f.run({"rebuild", "--data", f.path.c_str()}) == 0);
  f.check_whole();
  // Neither what was let go is there again, nor what was noted forgotten.
  const auto again = f.collect(later(kLateCommit));
  CHECK((again.links.removed > 0) == !at_once);
  CHECK(again.layer_rows_removed == 0);
  CHECK(f.collect(later(kLateCommit), kAtOnce).objects_removed == (at_once ? 0 : 5));
  f.check_whole();
}

TEST_CASE("gc: where the index lacks what is needed no pack goes", "[origin]") {
  Fixture f;
  const SnapshotId old = f.snapshot(f.ann, seeds(1, 9));
  f.snapshot(f.ann, seeds(9, 10));
  f.forget(f.ann, old);
  const DeviceId bob = f.enrol(2);
  {
    Fixture::Open origin(f);
    REQUIRE(origin.catalog.link_chunks(bob, {ref_of(noise(9, 9)).id}));
  }
  const Bytes before = f.stored("cvd");
  // Not yet committed, so it may go; but not before anybody knows why it is lost.
  CHECK(f.run({"gc", "--data", f.path.c_str(), "--store-grace", "0 s"}) == 6);
  CHECK(f.err.find("lamina-origin check") != std::string::npos);
  CHECK(f.stored("cvd") == before);
}

TEST_CASE("gc: devices send and commit and layers come and go meanwhile", "[origin]") {
  Fixture f;
  std::vector<SnapshotId> committed;
  {
    Fixture::Open origin(f);
    std::atomic<std::int64_t> now{kStart.ns};
    std::atomic<bool> is_done = false;
    std::atomic<int> collections = 0;
    std::string error;
    std::jthread collecting([&] {
      Catalog catalog(*origin.table);  // Of its own, over the same rows, as beside `serve`.
      GarbageOptions options;
      options.is_serving = true;
      while (!is_done) {
        auto report = collect_garbage(*origin.content, catalog, options, {now.load()});
        if (report)
          ++collections;
        else
          error = report.error().text();
        if (!report) return;
      }
    });
    LayerId before;
    for (int i = 1; i <= 10; ++i) {
      // Files come, go, and come again.
      const Captured captured = f.tree(seeds(i % 4 * 3 + 1, i % 4 * 3 + 6));
      while (!f.commit(origin, f.ann, captured, kStart)) f.send_new(origin, f.ann, captured);
      committed.push_back(origin.catalog.newest_snapshot(f.ann).value()->id);
      if (i > 2) {
        const SnapshotId old = committed[committed.size() - 3];
        REQUIRE(origin.catalog.forget_snapshots({"test", kStart}, f.ann,
                                                {.snapshot = old, .dry_run = false}));
        f.snapshots.erase(old);
      }
      if (i % 3 == 0) {
        const LayerId next = f.layer(origin, "1." + std::to_string(i), seeds(i, i + 3));
        if (!before.is_none()) {
          REQUIRE(origin.catalog.remove_layer({"test", kStart}, before));
          f.layers.erase(before);
        }
        before = next;
      }
      // A collection at every time, and then it is later.
      const int seen = collections;
      while (collections < seen + 2 && error.empty()) std::this_thread::yield();
      now += (kLateCommit / 3).count();
    }
    is_done = true;
    collecting.join();
    if (!error.empty()) FAIL(error);
  }
  f.check_whole();
  const Bytes before = f.stored("cvd");
  f.collect(later(9 * kLateCommit));
  f.collect(later(10 * kLateCommit));
  f.collect(later(11 * kLateCommit));
  CHECK(f.stored("cvd") <= before);
  f.check_whole();
}

TEST_CASE("gc: a collector of its own comes when it is due, and stops when told", "[origin]") {
  constexpr std::int64_t kLongAgo = 1'000'000'000;
  Fixture f;
  f.snapshot(f.ann, seeds(1, 3));
  {
    Fixture::Open origin(f);
    REQUIRE(origin.catalog.note_collection({{kLongAgo}, {}}));
    GarbageCollector collector(*origin.content, *origin.table, std::chrono::hours{24});
    while (collector.standing().collections == 0) std::this_thread::yield();
    CHECK(collector.standing().failures == 0);
    CHECK(collector.standing().last.ns > kLongAgo);
    CHECK(origin.catalog.collections()->back().at.ns > kLongAgo);
  }
  {
    Fixture::Open origin(f);
    const GarbageCollector collector(*origin.content, *origin.table, std::chrono::hours{24});
    CHECK(collector.standing().last.ns > kLongAgo);  // Not due.
  }
  f.check_whole();
}

TEST_CASE("gc: killed at every step it loses nothing, and the next one finishes", "[origin]") {
  int kills = 0;
  for (int at = 1;; ++at) {
    Fixture f;
    const LayerId one = f.layer("1.0", seeds(1, 4));
    f.layer("1.1", seeds(4, 6));
    const SnapshotId old = f.snapshot(f.ann, seeds(4, 12));
    f.snapshot(f.ann, seeds(9, 14));
    f.forget(f.ann, old);
    f.remove_layer(one);
    const bool killed = killed_at(at, [&](const std::function<void(std::string_view)>& on_step) {
      Fixture::Open origin(f);
      GarbageOptions options = kAtOnce;
      options.on_step = on_step;
      static_cast<void>(collect_garbage(*origin.content, origin.catalog, options, kStart));
    });
    CAPTURE(at);
    f.check_whole();
    f.collect(kStart, kAtOnce);
    f.check_whole();
    const auto again = f.collect(kStart, kAtOnce);
    CHECK(again.links.removed + again.cvds.removed + again.layers.removed == 0);
    CHECK(again.cvds.packs_removed + again.layers.packs_removed + again.objects_removed == 0);
    if (!killed) break;
    ++kills;
  }
  CHECK(kills > 20);
}
