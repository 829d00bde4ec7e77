// UpdateHead: what a receiver reads of an update first. Pure; any thread. See FORMAT.md.
#pragma once

#include <vector>

#include "shared/base/bytes.hpp"
#include "shared/base/ids.hpp"

namespace lamina::update {

struct UpdateHead {
  // Lengths of the chunks of the manifest that the old layer lacks, in the order in which a reader
  // meets them: what the frame behind the head decodes to is cut by them.
  std::vector<std::uint32_t> metadata_lengths;
  // Where the chunks are in full that the old layer lacks, in the order in which a reader of the
  // new manifest meets them: runs of chunks in one pack.
  struct Run {
    std::uint32_t pack = 0;  // In `packs`.
    std::uint64_t chunks = 0;
    bool operator==(const Run&) const = default;
  };
  std::vector<PackId> packs;
  std::vector<Run> runs;
  Buffer assembly;  // As shared/delta writes it.
  bool operator==(const UpdateHead&) const = default;
};

Buffer write_head(const UpdateHead& head);
// By its first bytes: the other frames of an update are none.
bool is_head(ByteView bytes);
// `corrupt` when it is none, `invalid` when it is of another version.
Result<UpdateHead> read_head(ByteView bytes);

}  // namespace lamina::update
