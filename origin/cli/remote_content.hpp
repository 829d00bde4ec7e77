// Chunks that the origin sends: a few at a time, or, as RemoteContent, those of a CVD on their way
// from the origin, in the order in which they are written. The next ones are fetched, decoded and
// checked while those before are written, and the origin gathers one batch while it sends another.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "shared/store/pack_set.hpp"
#include "shared/store/read_ahead.hpp"

namespace lamina::origin::cli {

struct Session;

// Has the origin send chunks as one pack into the file `path`, and reads from there. One thread.
class RemoteBatch {
 public:
  static constexpr std::uint64_t kBytesMax = 16 << 20;

  // `target`: where the API gives chunks, "/v1/cvds/ID/chunks" or "/v1/layers/chunks".
  RemoteBatch(std::string target, std::string path)
      : target_(std::move(target)), path_(std::move(path)) {}
  ~RemoteBatch();
  RemoteBatch(const RemoteBatch&) = delete;
  RemoteBatch& operator=(const RemoteBatch&) = delete;

  // At most kBytesMax. What was fetched before can be read no more.
  Status fetch(Session& session, const std::vector<format::ChunkRef>& refs);
  bool has(const ChunkId& id) const { return set_ && set_->has(id); }
  Result<Buffer> read(const format::ChunkRef& ref) { return set_->read(ref); }

 private:
  std::string target_;
  std::string path_;
  std::optional<PackSet> set_;
};

// Where the chunks of a device's CVD are given.
std::string cvd_chunks(const std::string& device);

class RemoteContent {
 public:
  // How much is best expected before it is asked for: what all batches on their way hold.
  static constexpr std::uint64_t kAhead = 5 * RemoteBatch::kBytesMax;

  // `spool`: a directory for its files. Makes connections of its own, with the
  // options of `like`.
  RemoteContent(const Session& like, const std::string& device, std::string spool);
  ~RemoteContent();
  RemoteContent(const RemoteContent&) = delete;
  RemoteContent& operator=(const RemoteContent&) = delete;

  // These chunks come after all that were expected before.
  void expect(const std::vector<format::ChunkRef>& refs);
  // To be asked for exactly the expected chunks, in order.
  format::ChunkSource source() { return ahead_->source(); }

 private:
  struct Fetched {
    std::uint64_t number = 0;
    std::vector<format::ChunkRef> refs;
    std::unique_ptr<RemoteBatch> batch = nullptr;
    Status done = Done{};
  };

  Fetched take_expected();
  void fetch(Session& session);
  bool hand_over(Fetched fetched);
  Result<std::optional<format::ChunkRef>> next();

  std::string target_;
  std::string spool_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<format::ChunkRef> expected_;
  std::uint64_t taken_ = 0;        // Batches that a thread took on.
  std::uint64_t handed_over_ = 0;  // Those that are in fetched_, or were.
  bool is_ending_ = false;

  BoundedQueue<Fetched> fetched_{1};
  // Of the thread that decodes.
  std::optional<Fetched> now_;
  std::size_t at_ = 0;

  static constexpr std::size_t kConnections = 2;
  std::array<std::unique_ptr<Session>, kConnections> sessions_;
  std::array<std::thread, kConnections> fetching_;
  std::unique_ptr<ReadAhead> ahead_;
};

}  // namespace lamina::origin::cli
