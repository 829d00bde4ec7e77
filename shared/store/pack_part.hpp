// PackPart: some chunks of a pack, without the rest of it.
//
// Which frames have them says the pack's index, at its end: that is looked for first, where it is
// by habit, then the frames are. Every look says what has to be there of the pack's file for the
// next one, until the chunks can be taken out of it.
//
// Pure but for the file that is read; any thread.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "shared/store/pack_writer.hpp"

namespace lamina {

struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool operator==(const ByteRange&) const = default;
};

struct PackPart {
  std::set<ChunkId> chunks;
  // Of the pack's bytes, what has to be there for the next look; ascending, apart from each other.
  // It grows from look to look.
  std::vector<ByteRange> ranges;
  bool operator==(const PackPart&) const = default;
};

// `pack_size`: in bytes.
PackPart make_part(std::set<ChunkId> chunks, std::uint64_t pack_size);

// Copies the frames with the part's chunks from the file at `path`, of which the part's ranges are
// there, to `into`: true. False: more has to be there, which `part` says now, and nothing was
// copied. `corrupt`: it is no pack of this size, it has not all of the chunks, or one of them is
// damaged; nothing was copied. Other errors are those of the file and of `into`.
Result<bool> take_part(const std::string& path, std::uint64_t pack_size, PackPart& part,
                       PackWriter& into);

}  // namespace lamina
