// Upload: chunks on their way from this machine into the origin's layer space.
//
// Chunks are asked about in batches, so that nothing is sent which the origin has, and packed in
// memory; each pack is sent as soon as it is complete, while the next ones are made, over a
// connection of its own (m: packs in files cost 1.2 s of 14 when 2 GB are captured). Memory: one
// batch, what PackWriter holds and kPacksWaiting + 2 packs. One thread, and one inside.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <vector>

#include "shared/base/bounded_queue.hpp"
#include "shared/store/pack_writer.hpp"

namespace lamina::origin::cli {

struct Session;

class Upload {
 public:
  // `session` must outlive the upload. `level` is zstd's.
  Upload(Session& session, int level);
  ~Upload();  // Without finish(): what was not sent is removed.

  Status add(const format::ChunkRef& ref, ByteView plain, ContentClass content);
  // Metadata goes into packs of its own.
  Status add_metadata(const format::ChunkRef& ref, ByteView plain);
  // Which of these the origin's layers do not have.
  Result<std::unordered_set<ChunkId, IdHash>> lacking(const std::vector<format::ChunkRef>& refs);
  // Sends everything. Call once, last.
  Status finish();

  // Once everything is sent.
  std::uint64_t packs_sent() const { return packs_; }
  std::uint64_t bytes_sent() const { return bytes_; }

 private:
  struct Waiting {
    format::ChunkRef ref;
    std::size_t offset = 0;  // In waiting_plain_.
    ContentClass content;
  };
  struct Made {
    PackId id;
    std::string bytes;
  };
  static constexpr std::size_t kBatchBytes = 8 << 20;
  static constexpr std::size_t kPacksWaiting = 1;

  Status wait(const format::ChunkRef& ref, ByteView plain, ContentClass content);
  Status send_batch();
  Status hand_to_sender(const format::PackSummary& pack, std::string bytes);
  void send_packs();
  Status send_pack(Made pack);
  Status sent() const;  // What went wrong with the packs so far.
  void stop_sending();

  Session& session_;
  PackWriter content_;
  PackWriter metadata_;
  std::vector<Waiting> waiting_;
  Buffer waiting_plain_;

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
