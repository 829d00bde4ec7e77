// Upload: chunks on their way from this machine into the origin's layer space.
//
// Chunks are asked about in batches, so that nothing is sent which the origin has, packed into a
// spool directory, and each pack is sent as soon as it is complete and removed. Memory: one batch
// and what PackWriter holds. One thread.
#pragma once

#include <memory>
#include <vector>

#include "shared/store/pack_writer.hpp"

namespace lamina::origin::cli {

struct Session;

class Upload {
 public:
  // `session` must outlive the upload. `level` is zstd's.
  static Result<std::unique_ptr<Upload>> start(Session& session, int level);

  Status add(const format::ChunkRef& ref, ByteView plain, ContentClass content);
  // Metadata goes into packs of its own.
  Status add_metadata(const format::ChunkRef& ref, ByteView plain);
  // Sends everything. Call once, last.
  Status finish();

  std::uint64_t packs_sent() const { return packs_; }
  std::uint64_t bytes_sent() const { return bytes_; }

 private:
  struct Waiting {
    format::ChunkRef ref;
    Buffer plain;
    ContentClass content;
  };
  static constexpr std::size_t kBatchBytes = 8 << 20;

  Upload(Session& session, os::TemporaryDirectory directory, PackFiles files, int level);
  Status send_batch();
  Status send_pack(const format::PackSummary& pack);

  Session& session_;
  os::TemporaryDirectory directory_;
  PackFiles files_;
  PackWriter content_;
  PackWriter metadata_;
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::uint64_t packs_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace lamina::origin::cli
