// An origin that is killed, or loses its power, anywhere in its work.
#include <iostream>

#include "tests/origin/worked_origin.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

// What was acknowledged when so many operations were done.
struct Mark {
  std::size_t at = 0;
  std::map<SnapshotId, Acknowledged> snapshots;
  std::map<LayerId, Acknowledged> layers;
};

struct Story {
  std::unique_ptr<DiskLog> log;
  std::unique_ptr<WorkedOrigin> origin;
  std::vector<Mark> marks;
  disk::History history;

  void acknowledge() { marks.push_back({log->count(), origin->snapshots, origin->layers}); }

  // Devices and layers come and go, and what nobody needs is collected.
  Story() {
    origin = std::make_unique<WorkedOrigin>(
        [this](const std::string& directory) { log = std::make_unique<DiskLog>(directory); });
    WorkedOrigin& o = *origin;
    acknowledge();
    const auto did = [this](auto done) {
      acknowledge();
      return done;
    };
    const DeviceId bob = did(o.enrol(2));
    const LayerId one = did(o.layer("1.0", seeds(1, 3)));
    did(o.layer("1.1", seeds(3, 5)));
    REQUIRE(o.written_anew > Bytes{});  // What it shares with the first lies in a worn pack.
    const SnapshotId old = did(o.snapshot(o.ann, seeds(3, 8)));
    const SnapshotId second = did(o.snapshot(o.ann, seeds(6, 10)));
    did(o.snapshot(bob, seeds(8, 11)));
    o.forget(o.ann, old);
    acknowledge();
    o.remove_layer(one);
    acknowledge();
    o.collect(kStart, kAtOnce);
    acknowledge();
    did(o.layer("1.2", seeds(1, 2)));
    did(o.snapshot(o.ann, seeds(3, 7)));
    o.forget(o.ann, second);
    acknowledge();
    o.collect(kStart);
    acknowledge();
    o.collect(later(kLateCommit));
    acknowledge();
    history = log->take();
  }

  // What must be there whenever the crash was: what was acknowledged, unless it was about to go.
  void promise(std::size_t after) {
    auto next = std::ranges::upper_bound(marks, after, {}, &Mark::at);
    const Mark& last = *std::prev(next);
    origin->snapshots = last.snapshots;
    origin->layers = last.layers;
    if (next == marks.end()) return;
    std::erase_if(origin->snapshots,
                  [&](const auto& one) { return !next->snapshots.contains(one.first); });
    std::erase_if(origin->layers,
                  [&](const auto& one) { return !next->layers.contains(one.first); });
  }

  Examine examine() {
    return [this](const std::string& directory, const disk::Image&, const Crash& crash,
                  bool thorough) -> std::string {
      if (crash.after < marks.front().at) return "";  // Nobody was told that there is an origin.
      promise(crash.after);
      origin->use(directory);
      std::string wrong = origin->whats_wrong();
      if (!wrong.empty() || !thorough) return wrong;
      origin->snapshot(origin->ann, seeds(9, 12));
      origin->layer("2.0", seeds(2, 4));
      origin->collect(later(2 * kLateCommit), kAtOnce);
      return origin->whats_wrong();
    };
  }
};

Story& story() {
  static Story once;
  return once;
}

}  // namespace

TEST_CASE("torture: an origin keeps what it acknowledged", "[origin]") {
  must_survive("origin", story().history, story().examine());
}

namespace {

using disk::History;
using disk::Operation;

bool is_below(const Operation& operation, std::string_view path) {
  return operation.path.starts_with(path);
}
auto of(std::string path) {
  return [path = std::move(path)](const Operation& operation) { return is_below(operation, path); };
}
auto at(std::string path) {
  return [path = std::move(path)](const Operation& operation) { return operation.path == path; };
}

struct Planted {
  const char* what;
  std::function<History(const History&)> plant;
};
const std::vector<Planted> kPlanted = {
    {"packs of devices are not synced",
     [](const History& h) { return h.without_syncs(of("cvd/packs/")); }},
    {"packs of layers are not synced",
     [](const History& h) { return h.without_syncs(of("layers/packs/")); }},
    {"the names of packs are not synced",
     [](const History& h) { return h.without_syncs(at("cvd/packs")); }},
    {"block hashes are not synced",
     [](const History& h) { return h.without_syncs(of("layers/trees/")); }},
    {"records are not synced", [](const History& h) { return h.without_syncs(of("objects/")); }},
    {"the index is not synced", [](const History& h) { return h.without_syncs(of("cvd/index/")); }},
    {"the journal is not synced",
     [](const History& h) { return h.without_syncs(of("journal/changes")); }},
    {"directories are not synced when they are made",
     [](const History& h) { return h.without_syncs(at("objects")); }},
    {"the index is written before the packs",
     [](const History& h) { return h.delayed(of("cvd/packs"), of("cvd/index/data.mdb")); }},
    {"the catalogue is written before the records",
     [](const History& h) { return h.delayed(of("objects/"), of("journal/changes")); }},
    {"packs go before the rows that name them",
     [](const History& h) { return h.delayed(of("cvd/index/data.mdb"), at("cvd/packs")); }}};

}  // namespace

TEST_CASE("torture: planted bugs are found", "[origin][planted]") {
  for (const Planted& planted : kPlanted) {
    const std::string harm = first_harm(planted.plant(story().history), story().examine());
    if (harm.empty()) FAIL_CHECK(planted.what << ": nothing was found");
    std::cout << "planted: " << planted.what << ": found at " << harm.substr(0, harm.find('\n'))
              << std::endl;
  }
}

TEST_CASE("torture: a sweep without grace is found", "[origin][planted]") {
  for (const bool has_grace : {true, false}) {
    WorkedOrigin o;
    const SnapshotId old = o.snapshot(o.ann, seeds(1, 4));
    o.snapshot(o.ann, seeds(5, 6));
    o.forget(o.ann, old);
    const Captured again = o.tree(seeds(1, 4));
    std::vector<ChunkId> chunks;
    for (const int seed : seeds(1, 4)) {
      const Buffer file = noise(60'000, std::uint64_t(seed));
      for (const auto& [id, plain] : again.chunks)
        if (std::ranges::search(file, plain).begin() != file.end()) chunks.push_back(id);
    }
    // It is told what it need not send; then comes the sweep; then it commits.
    {
      WorkedOrigin::Open origin(o);
      REQUIRE_FALSE(chunks.empty());
      REQUIRE(origin.catalog.lacks(o.ann, chunks).value().empty());
    }
    o.collect(kStart, has_grace ? GarbageOptions() : kAtOnce);
    WorkedOrigin::Open origin(o);
    CHECK(origin.catalog.lacks(o.ann, chunks).value().empty() == has_grace);
  }
}
