// Garbage at the origin: snapshots that no retention rule keeps, then what neither a layer nor a
// snapshot needs any more.
//
// Mark: of every device the chunks that its snapshots need, manifest by manifest; a manifest chunk
// that several snapshots have is read once. Sweep, in this order: torrents of layers that are gone
// (a seeder must not offer what goes), rows of the catalogue, rows of the chunk indexes, packs,
// objects. Killed at any time it leaves a sound origin, and the next collection finishes.
//
// Nothing that somebody was told is here goes within a grace from then on: a row is first noted as
// unneeded, and removed by a collection that comes a grace later (Catalog::sweep_links,
// shared/store/chunk_sweep.hpp).
//
// Erasures (origin/erasure.hpp) are carried out by the way: what only an erased device had has no
// grace, and its records have none.
//
// Where a snapshot's record or manifest cannot be read nothing of its device goes; where an index
// lacks what is needed no pack goes.
//
// Memory: about 56 bytes a chunk of the largest CVD, and what a sweep takes.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "origin/catalog/catalog.hpp"
#include "origin/content/content.hpp"
#include "origin/data_directory.hpp"
#include "shared/store/chunk_sweep.hpp"

namespace lamina::origin {

// From a device's first pack, or from the answer that the origin has a chunk, to the snapshot that
// needs it: a relay holds what it was handed for seven days (node/net/relay_spool.hpp), and a
// device may be switched off as long in the middle of an upload. Who comes later is told what to
// send again: nothing is lost by it but time on the line.
inline constexpr Duration kLateCommit = std::chrono::hours{14 * 24};
// From taking in packs to the row of the catalogue that needs them: seconds for devices; an
// administrator's program sends a layer's packs for hours before it publishes.
inline constexpr Duration kLatePublish = std::chrono::hours{24};

struct GarbageOptions {
  Duration grace = kLateCommit;
  Duration store_grace = kLatePublish;
  bool dry_run = false;
  // Layers are published meanwhile: packs of layers that are dead go, and none is written anew.
  // What a layer is published with is looked up long before the catalogue has it.
  bool is_serving = false;
  std::function<void(std::string_view step)> on_step = {};   // For tests that stop it there.
  std::function<bool()> is_stopping = [] { return false; };  // Asked now and then.
};

struct GarbageReport {
  struct Unreadable {
    DeviceId device;
    std::string text;
  };
  std::uint64_t devices = 0;
  std::uint64_t snapshots = 0;          // That there are.
  std::uint64_t snapshots_removed = 0;  // By retention.
  Catalog::SweptLinks links;            // Of all devices to their chunks.
  std::uint64_t layers_released = 0;    // Removed layers on which a device rests no more.
  std::uint64_t layer_rows_removed = 0;
  std::uint64_t objects_removed = 0;
  Swept layers;                  // Of the packs of layers,
  Swept cvds;                    // and of devices.
  std::vector<DeviceId> erased;  // Whose erasure is over.
  std::uint64_t erasures_open = 0;
  std::vector<Unreadable> unreadable;
  Bytes freed() const { return layers.freed + cvds.freed - layers.written - cvds.written; }
};

// (slow) One at a time. The catalogue may be another object than the one that serves requests, over
// the same table. After an error what was done is done; `unavailable` when it was told to stop, and
// while somebody reads all of the directory (hold_still).
Result<GarbageReport> collect_garbage(Content& content, Catalog& catalog,
                                      const GarbageOptions& options, WallTime now);

// Collects every so often, and when something is to be erased, in a thread of its own, beside a
// process that serves.
class GarbageCollector {
 public:
  struct Standing {
    std::int64_t collections = 0;  // That came to their end since the start...
    std::int64_t failures = 0;     // ...or did not.
    Bytes freed;
    WallTime last;  // When the last one that did began, also of another process; 0: none.
  };

  // Both outlive it. The time since the last collection counts from before the start.
  GarbageCollector(Content& content, Table& table, Duration every);
  ~GarbageCollector();  // Has it stop, and waits for what it is at.
  GarbageCollector(const GarbageCollector&) = delete;
  GarbageCollector& operator=(const GarbageCollector&) = delete;

  Standing standing() const;  // Any thread.
  void look_now();            // Something is to be erased. Any thread.

 private:
  void run(const std::stop_token& stop);
  bool collect(const std::stop_token& stop);  // False: it is to be tried again.
  bool has_new_erasures();                    // That no collection has looked at.

  Content& content_;
  Table& table_;
  Duration every_;
  std::map<DeviceId, std::int64_t> tried_;  // Erasures, with the time at which they were asked for.
  mutable std::mutex mutex_;
  std::condition_variable_any wakes_;
  Standing standing_;
  bool is_hurried_ = false;
  std::jthread thread_;  // Last: it uses the others.
};

struct GarbageRequest {
  std::string grace;  // "14 d"; empty: as GarbageOptions says.
  std::string store_grace;
  bool dry_run = false;
  bool as_json = false;
};
// `lamina-origin gc`: collects in a data directory that no `serve` has, and prints what it did.
// `unavailable` while another process has the stores or reads all of them, `corrupt` when something
// needed is lost.
Status run_gc(const DataDirectory& data, const GarbageRequest& request, WallTime now,
              std::ostream& out);

}  // namespace lamina::origin
