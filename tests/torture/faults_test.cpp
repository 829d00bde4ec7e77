// An origin whose disk fails: it says so, loses nothing that it acknowledged, and goes on once the
// disk is well again.
#include <filesystem>
#include <iostream>

#include "tests/origin/worked_origin.hpp"
#include "tests/torture/torture.hpp"

using namespace lamina;
using namespace lamina::tests;

namespace {

using Kind = DiskFault::Kind;

// An origin with something in it, copied for each fault; and work that touches all of it.
struct Story {
  WorkedOrigin o;
  std::string original = o.path;
  Captured layer_tree = o.tree(seeds(2, 4));
  Captured snapshot_tree = o.tree(seeds(5, 9));
  std::map<SnapshotId, Acknowledged> snapshots;
  std::map<LayerId, Acknowledged> layers;
  int copies = 0;

  Story() {
    o.layer("1.0", seeds(1, 2));
    const SnapshotId old = o.snapshot(o.ann, seeds(3, 5));
    o.snapshot(o.ann, seeds(4, 6));
    o.forget(o.ann, old);
    snapshots = o.snapshots;
    layers = o.layers;
  }

  // A fresh copy of the origin, which then is the one that is worked with.
  std::string fresh() {
    const NoWaiting no_waiting;
    const std::string to = o.scratch / ("copy" + std::to_string(++copies));
    std::filesystem::copy(original, to, std::filesystem::copy_options::recursive);
    o.use(to);
    o.snapshots = snapshots;
    o.layers = layers;
    return to;
  }

  Status work(WorkedOrigin::Open& origin) {
    if (o.layers.size() == layers.size())
      if (auto id = o.try_layer(origin, "2.0", layer_tree); !id)
        return fail(std::move(id.error()).in("publishing"));
    if (o.snapshots.size() == snapshots.size()) {
      if (auto done = o.try_send_new(origin, o.ann, snapshot_tree); !done)
        return fail(std::move(done.error()).in("sending"));
      if (auto done = o.try_commit(origin, o.ann, snapshot_tree, kStart); !done)
        return fail(std::move(done.error()).in("committing"));
    }
    auto report = collect_garbage(*origin.content, origin.catalog, kAtOnce, kStart);
    return report ? Status(Done{}) : fail(std::move(report.error()).in("collecting"));
  }

  // How many operations the work has when all is well.
  std::size_t operations() {
    DiskLog log(fresh());
    {
      WorkedOrigin::Open origin(o);
      if (auto done = work(origin); !done) FAIL(done.error().text());
    }
    const auto count = log.count();
    REQUIRE(os::remove_tree(o.path));
    return count;
  }

  // "" when the origin comes through.
  std::string suffers(const DiskFault& fault) {
    const std::string at = fresh();
    auto log = std::make_unique<DiskLog>(at);
    {
      WorkedOrigin::Open origin(o);
      log->plant({fault.kind, fault.at + log->count()});
      const auto done = work(origin);
      const std::size_t failures = log->heal();
      // What fails may be nothing that counts, such as the removal of what is of no use; and what
      // is cut short is gone on with by us, and taken for an error by LMDB.
      if (!done && failures == 0) return "it fails though the disk is well: " + done.error().text();
      const bool is_full = fault.kind == Kind::full || fault.kind == Kind::full_copies;
      if (!done && is_full && done.error().kind() != ErrorKind::out_of_space)
        return "it does not say that the disk is full: " + done.error().text();
      // A full disk is no reason to start anew.
      if (is_full)
        if (auto again = work(origin); !again) return "with room again: " + again.error().text();
    }
    {
      WorkedOrigin::Open origin(o);
      if (auto again = work(origin); !again) return "started anew: " + again.error().text();
    }
    std::string wrong = o.whats_wrong();
    const disk::History history = log->take();
    if (wrong.empty()) {
      // What a failed sync left out must not be taken for durable.
      const NoWaiting no_waiting;
      const std::string after = o.scratch / "after";
      history.write_out(history.power_failed_after(history.operations.size(), 0), after);
      o.use(after);
      wrong = o.whats_wrong();
      if (!wrong.empty()) wrong = "after a power failure: " + wrong;
      REQUIRE(os::remove_tree(after));
    }
    REQUIRE(os::remove_tree(at));
    return wrong;
  }
};

}  // namespace

TEST_CASE("torture: an origin comes through what its disk does", "[faults]") {
  Story story;
  const std::size_t operations = story.operations();
  const std::size_t step = torture_options().seeds > 0 ? 1 : operations / 12;
  for (const auto& [kind, name] : {std::pair{Kind::full, "the disk is full"},
                                   {Kind::full_copies, "the disk is full for what is written over"},
                                   {Kind::input_output, "an input/output error"},
                                   {Kind::short_write, "a write that is cut short"}}) {
    std::size_t faults = 0;
    for (std::size_t at = 0; at < operations; at += step, ++faults) {
      const std::string wrong = story.suffers({kind, at});
      if (!wrong.empty()) FAIL_CHECK(name << ", after operation " << at << ": " << wrong);
    }
    std::cout << name << ": at " << faults << " of " << operations << " operations" << std::endl;
  }
}

TEST_CASE("torture: a database goes on after its disk was full for what it writes over",
          "[faults]") {
  const Scratch scratch;
  const std::string directory = scratch / "database";
  REQUIRE(os::make_directories(directory));
  DiskLog log(directory);
  const auto kv = Kv::open(directory).value();
  const auto put = [&](const std::string& value) {
    return kv->write([&](Kv::Edit& edit) { return edit.put("key", value); });
  };
  const auto value = [&] {
    std::string now;
    const auto done = kv->read([&](const Kv::View& view) -> Status {
      auto row = view.get("key");
      if (!row) return fail(std::move(row.error()));
      now = row->value_or("");
      return Done{};
    });
    return done ? now : done.error().text();
  };
  REQUIRE(put("first"));
  std::string kept = "first";
  std::size_t at = 0;
  for (;; ++at) {
    INFO("from operation " << at << " of the transaction on");
    log.plant({.kind = Kind::full_copies, .at = log.count() + at});
    const auto done = put("lost");
    if (log.heal() == 0) {
      CHECK(done);
      break;
    }
    REQUIRE_FALSE(done);
    CHECK(done.error().kind() == ErrorKind::out_of_space);
    CHECK(value() == kept);
    kept = "kept " + std::to_string(at);
    CHECK(put(kept));
    CHECK(value() == kept);
  }
  CHECK(at > 1);  // Pages, then the one that ends it.
}
