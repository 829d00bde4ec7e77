// ChunkIndex: looking chunks up in a ChunkStore's index beside the process that has the store;
// ChunkReader: reading them. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/format/pack.hpp"
#include "shared/store/kv.hpp"

namespace lamina {

class ChunkIndex {
 public:
  // Of the pack space in `directory`. `not_found` when it has no index, `corrupt` when it is
  // broken.
  static Result<ChunkIndex> open(const std::string& directory);

  // As one moment had it; valid inside the function it is handed to.
  class Look {
   public:
    Result<bool> has(const ChunkId& id) const;
    // Which pack, and the number of the frame in it. `not_found` names the chunk.
    struct Place {
      PackId pack;
      std::uint32_t frame = 0;
      std::uint32_t offset = 0;
    };
    Result<Place> place_of(const ChunkId& id) const;

   private:
    friend class ChunkIndex;
    explicit Look(const Kv::View& view) : view_(view) {}
    const Kv::View& view_;
  };
  Status read(const std::function<Status(const Look&)>& look) const;

 private:
  explicit ChunkIndex(std::unique_ptr<Kv> kv) : kv_(std::move(kv)) {}
  std::unique_ptr<Kv> kv_;
};

// Reads chunks of pack spaces beside the process that has their stores.
class ChunkReader {
 public:
  // Of these directories, looked in one after the other; one without an index has nothing.
  explicit ChunkReader(const std::vector<std::string>& directories);
  // The plain bytes, digest checked. `not_found` when no index has the chunk, or its pack is gone.
  Result<Buffer> read(const format::ChunkRef& ref);

 private:
  struct Space {
    std::string directory;
    Result<ChunkIndex> index;
  };
  std::vector<Space> spaces_;
  // The frame that was read last: chunks of a manifest lie beside each other.
  std::optional<std::pair<PackId, std::uint32_t>> at_;
  std::optional<format::PlainFrame> frame_;
};

}  // namespace lamina
