// The scrub: reads all packs again and again, slowly, so that what a disk has lost is found while
// there still is another copy.
//
// It goes through both pack spaces by pack id, remembers where it is in <data>/scrub.json, and goes
// on there after a restart; what was noted as lost is looked at first. A pack that is sound has its
// index rows and block hashes made right where they are not (ChunkStore::mend). One that is not is
// set aside (ChunkStore::set_aside): then its chunks are not here, devices are asked for theirs
// with their next snapshot, and a layer's pack is wanted from anybody who has it
// (sites/wanted_packs).
//
// Reading needs no lock: packs never change, and one that a sweep removes meanwhile is no loss.
// Setting aside waits until nobody reads all of the directory or collects garbage (hold_still).
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "origin/content/content.hpp"
#include "origin/data_directory.hpp"
#include "origin/sites/wanted_packs.hpp"
#include "origin/touched.hpp"

namespace lamina::origin {

// Where a scrub is.
struct ScrubPlace {
  std::string space = "layers";     // Then "cvd".
  PackId after;                     // The pack of it that was looked at last; none: none.
  std::int64_t round_began_ms = 0;  // Wall clock; 0: no round has begun.
  std::int64_t round_ended_ms = 0;  // The last one that came to its end; 0: none did.
  bool operator==(const ScrubPlace&) const = default;
};
// A missing or broken file: from the beginning.
ScrubPlace read_scrub_place(const DataDirectory& data);
Status write_scrub_place(const DataDirectory& data, const ScrubPlace& place);

struct ScrubFound {
  std::string space;
  LostPack note;
  Touched touched;
};

// What a scrub does, step by step. One thread.
class Scrub {
 public:
  struct Calls {
    // After each piece that was read: who waits there slows the scrub down. An error ends the step
    // and is passed on.
    std::function<Status(Bytes read)> on_piece = {};
    // Nobody else reads or collects all of the directory while this is held. Waits.
    std::function<Result<os::FileLock>()> alone;
    std::function<void(const ScrubFound& found)> found = {};
    std::function<bool()> is_stopping = {};
    std::function<void(std::string_view step)> on_step = {};  // Of set_aside(), for tests.
  };

  // The catalogue may be another object than the one that serves requests, over the same table.
  Scrub(Content& content, Catalog& catalog, Calls calls);

  // Looks at what was noted as lost: finishes what a kill left half done, takes back what is there
  // again, drops notes of which nothing is missed any more.
  Status look_at_noted(WallTime now);
  // Packs that layers name and that are not there.
  Result<WantedPacks::List> wanted() const;
  // Goes on behind `place`, which it moves, by one pack. At the end of a round it begins the next
  // one with what the index names and nobody has; true: a round has ended.
  Result<bool> step(ScrubPlace& place, WallTime now);

  struct Counts {
    std::int64_t packs = 0;   // Looked at.
    std::int64_t mended = 0;  // Rows and files.
    std::int64_t set_aside = 0;
    Bytes read;
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Space {
    std::string name;
    ChunkStore& store;
    std::vector<PackId> packs = {};  // Ascending; as they were when the space was begun.
    bool is_listed = false;
  };
  Status list(Space& space, WallTime now);
  Status look_at(Space& space, const PackId& id, WallTime now);
  Status set_aside(Space& space, const PackId& id, const PackLook& look, WallTime now);
  Result<std::set<ChunkId>> needed_of(const std::set<ChunkId>& chunks) const;

  Content& content_;
  Catalog& catalog_;
  Calls calls_;
  std::vector<Space> spaces_;
  Counts counts_;
};

// Scrubs in a thread of its own, beside a process that serves.
class Scrubber {
 public:
  struct Standing {
    Scrub::Counts counts;  // Since the start.
    std::int64_t rounds = 0;
    std::int64_t failures = 0;
    std::int64_t round_ended_ms = 0;  // As ScrubPlace.
    struct Space {
      std::int64_t packs = 0;   // That are set aside and missed.
      std::int64_t chunks = 0;  // That went with them and are not back.
      Bytes bytes;              // Of those, plain.
    };
    std::map<std::string, Space> lost;
  };
  struct Options {
    Bytes rate = 4_MiB;  // Read in a second.
    // From the end of a round to the next one: a small origin is through in no time.
    Duration round_every = std::chrono::hours{24};
    // How often what is lost is compared with what is needed, while anything is lost.
    Duration refresh_every = std::chrono::minutes{10};
  };

  // Both outlive it. `want` is called on its thread whenever it looked for what is wanted.
  Scrubber(Content& content, Table& table, Options options,
           std::function<void(WantedPacks::List)> want);
  ~Scrubber();  // Has it stop, and waits for what it is at.
  Scrubber(const Scrubber&) = delete;
  Scrubber& operator=(const Scrubber&) = delete;

  Standing standing() const;  // Any thread.

 private:
  void run(const std::stop_token& stop);
  // False: told to stop.
  bool wait(const std::stop_token& stop, Duration most);
  Status refresh(Scrub& scrub);
  void count(const Scrub& scrub, const ScrubPlace& place, bool has_ended);

  Content& content_;
  Table& table_;
  Options options_;
  std::function<void(WantedPacks::List)> want_;
  mutable std::mutex mutex_;
  std::condition_variable_any wakes_;
  Standing standing_;
  std::jthread thread_;  // Last: it uses the others.
};

// What to type next about a pack that was set aside; for people.
std::string next_for_lost(const std::string& space, const std::string& data);

}  // namespace lamina::origin
