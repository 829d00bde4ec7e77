// Synchronization: one snapshot of the device, from the worker's scan to the origin's receipt.
//
//   scan -> for each pack: which of its chunks are lacking -> send it -> go on
//        -> the record -> the origin keeps the snapshot, or names what it lacks: once more, in full
//
// Packs and record may go to a relay of the site instead, sealed for the origin. When it fails on
// the way, the scan is made once more and goes to the origin; what was handed over is not sent
// again if the relay has passed it on by then.
//
// It ends with `unavailable` as soon as the origin link's upload pace is stopped; what was sent
// stays there and is not sent again by the next one.
//
// Lives on the loop's thread. Destroying it abandons the scan.
#pragma once

#include <functional>
#include <memory>

#include "node/net/origin_link.hpp"
#include "node/net/parcel_sender.hpp"
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

// Where an upload may go besides the origin, and what is noted about it.
class UploadWays {
 public:
  virtual ~UploadWays() = default;
  // For the next snapshot: above the newest that the origin keeps, and all that were handed over.
  virtual std::uint64_t sequence_after(std::uint64_t kept) const = 0;
  virtual bool origin_reachable() const = 0;
  // The relay for what is ready, for snapshot `sequence`; none: to the origin. It lives until the
  // next call.
  virtual ParcelSender* relay_for(Bytes size, std::uint64_t sequence) = 0;
  virtual void relay_failed(const Error& error) = 0;
  // A relay has all of the snapshot: noted durably. The origin keeps one: what is at the site is
  // overtaken.
  virtual Status handed(const SnapshotId& snapshot, std::uint64_t sequence) = 0;
  virtual void kept(std::uint64_t sequence) = 0;
};

struct SyncFigures {
  SnapshotId snapshot;
  // Not none: a relay has the snapshot, the origin has not. It is at the site, not yet protected.
  DeviceId relay;
  std::uint64_t files_read = 0;
  std::uint64_t files_reused = 0;
  Bytes bytes_read;
  std::uint64_t packs_sent = 0;
  Bytes bytes_sent;  // Of packs, to the origin.
  std::uint64_t parcels_handed = 0;
  Bytes bytes_handed;       // Of parcels, to the relay.
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
  Synchronization(net::Loop& loop, WorkerLink& worker, OriginLink& origin, UploadWays& ways,
                  const StateDirectory& state, std::string reason, Options options, Then then);
  ~Synchronization();
  Synchronization(const Synchronization&) = delete;
  Synchronization& operator=(const Synchronization&) = delete;

  // It ends with `why` before its next pack goes out; one that needs no more packs still ends well.
  // A pack on its way goes on unless the upload pace is stopped.
  void stop(Error why);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lamina::node
