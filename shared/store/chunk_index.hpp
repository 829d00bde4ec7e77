// ChunkIndex: looking chunks up in a ChunkStore's index beside the process that has the store.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "shared/base/ids.hpp"
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

}  // namespace lamina
