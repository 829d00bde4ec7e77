// Synchronization: one snapshot of the device, from the worker's scan to the origin's receipt.
//
//   scan -> for each pack: which of its chunks are lacking -> send it -> go on
//        -> the record -> the origin keeps the snapshot, or names what it lacks: once more, in full
//
// It ends with `unavailable` as soon as the origin link's upload pace is stopped; what was sent
// stays there and is not sent again by the next one.
//
// Lives on the loop's thread. Destroying it abandons the scan.
#pragma once

#include <functional>
#include <memory>

#include "node/net/origin_link.hpp"
#include "node/net/worker_link.hpp"
#include "shared/policy/retry.hpp"

namespace lamina::node {

// The newest snapshot that the origin keeps; none before the first.
struct LastSnapshot {
  SnapshotId id;
  std::uint64_t sequence = 0;
  std::int64_t kept_ms = 0;  // When the origin said that it keeps it, since 1970; 0: not known.
};
// net/snapshot.json. A missing or broken file is "none": the next scan is as good as the first.
LastSnapshot read_last_snapshot(const StateDirectory& state);
Status write_last_snapshot(const StateDirectory& state, const LastSnapshot& last);

struct SyncFigures {
  SnapshotId snapshot;
  std::uint64_t files_read = 0;
  std::uint64_t files_reused = 0;
  Bytes bytes_read;
  std::uint64_t packs_sent = 0;
  Bytes bytes_sent;         // Of packs.
  std::uint64_t notes = 0;  // Paths that were skipped, changed or unreadable.
};

class Synchronization {
 public:
  using Then = std::function<void(Result<SyncFigures>)>;

  struct Options {
    policy::Backoff backoff = {};
    int failures_max = 5;  // In a row, of one call; then it is given up.
  };

  // Starts at once. `then` is called once, from the loop. The references outlive the object.
  Synchronization(net::Loop& loop, WorkerLink& worker, OriginLink& origin,
                  const StateDirectory& state, std::string reason, Options options, Then then);
  ~Synchronization();
  Synchronization(const Synchronization&) = delete;
  Synchronization& operator=(const Synchronization&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
