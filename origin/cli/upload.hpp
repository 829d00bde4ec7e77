// Upload: chunks on their way from this machine into the origin's layer space.
//
// Chunks are asked about in batches, so that nothing is sent which the origin has, packed into a
// spool directory, and each pack is sent as soon as it is complete and removed. Packs are sent
// while the next ones are made, over a connection of their own. Memory: one batch and what
// PackWriter holds. One thread, and one inside.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "shared/base/bounded_queue.hpp"
#include "shared/store/pack_writer.hpp"

namespace lamina::origin::cli {

struct Session;

class Upload {
 public:
  // `session` must outlive the upload. `level` is zstd's.
  static Result<std::unique_ptr<Upload>> start(Session& session, int level);
  ~Upload();  // Without finish(): what was not sent is removed.

  Status add(const format::ChunkRef& ref, ByteView plain, ContentClass content);
  // Metadata goes into packs of its own.
  Status add_metadata(const format::ChunkRef& ref, ByteView plain);
  // Sends everything. Call once, last.
  Status finish();

  // Once everything is sent.
  std::uint64_t packs_sent() const { return packs_; }
  std::uint64_t bytes_sent() const { return bytes_; }

 private:
  struct Waiting {
    format::ChunkRef ref;
    Buffer plain;
    ContentClass content;
  };
  struct Made {
    PackId id;
    std::uint64_t size = 0;
  };
  static constexpr std::size_t kBatchBytes = 8 << 20;
  static constexpr std::size_t kPacksWaiting = 2;

  Upload(Session& session, os::TemporaryDirectory directory, PackFiles files, int level);
  Status send_batch();
  Status hand_to_sender(const format::PackSummary& pack);
  void send_packs();
  Status send_pack(const Made& pack);
  Status sent() const;  // What went wrong with the packs so far.
  void stop_sending();

  Session& session_;
  os::TemporaryDirectory directory_;
  PackFiles files_;
  PackWriter content_;
  PackWriter metadata_;
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;

  // The sender's, until it has ended.
  std::unique_ptr<Session> own_session_;
  std::uint64_t packs_ = 0;
  std::uint64_t bytes_ = 0;

  BoundedQueue<Made> made_{kPacksWaiting};
  mutable std::mutex mutex_;  // Of sent_.
  Status sent_ = Done{};
  std::thread sender_;
};

}  // namespace lamina::origin::cli
