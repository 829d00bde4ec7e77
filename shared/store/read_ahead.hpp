// ReadAhead: a source of chunks that is read by a thread of its own, ahead of whoever asks.
//
// Decoding and checking what comes next goes on while what came before is written. The order in
// which chunks will be asked for must be known; a few MB of them wait. One thread asks.
#pragma once

#include <functional>
#include <optional>
#include <thread>

#include "shared/base/bounded_queue.hpp"
#include "shared/format/manifest.hpp"

namespace lamina {

class ReadAhead {
 public:
  // The next chunk that will be asked for; nothing at the end. Called by the thread inside.
  using Next = std::function<Result<std::optional<format::ChunkRef>>()>;

  // From now on `from` is called by the thread inside, and by nobody else.
  ReadAhead(Next next, format::ChunkSource from);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // To be asked for the chunks in that order; another one is `invalid`. The object must outlive it.
  format::ChunkSource source();

 private:
  struct Ready {
    format::ChunkRef ref;
    Result<Buffer> bytes;
  };
  static constexpr std::size_t kChunksWaiting = 48;  // 3 MiB at their average, 12 MiB at most.

  void read(const Next& next, const format::ChunkSource& from);

  BoundedQueue<Ready> ready_{kChunksWaiting};
  std::thread thread_;
};

}  // namespace lamina
