// LostPack: the note on a pack that was set aside because it is not what its name says, or not
// there: what was found, and which chunks went with it.
//
//   <pack space>/unsound/<pack id>.lost    the note
//   <pack space>/unsound/<pack id>         the pack's bytes as they were found, if there were any
//
//   note = magic "LAMLOST1" pack:32 found:u64 size:u64 text:bytes
//          blocks:varint (block:u32)* chunks:varint (id:32 length:u32)* XXH3:u64
//
// Blocks and chunks ascend. Blocking; any thread, one at a time for one pack.
#pragma once

#include <string>
#include <vector>

#include "shared/base/units.hpp"
#include "shared/format/entry.hpp"

namespace lamina {

struct LostPack {
  PackId pack;
  WallTime found;
  std::uint64_t size = 0;                   // Of the file that was set aside; 0: there was none.
  std::string text;                         // What was wrong.
  std::vector<std::uint32_t> wrong_blocks;  // Of 16 KiB; none where that could not be told.
  std::vector<format::ChunkRef> chunks;     // That the index had there.
  bool operator==(const LostPack&) const = default;
};

Buffer encode(const LostPack& note);
// `corrupt` unless every byte is as written.
Result<LostPack> parse_lost_pack(ByteView bytes);

// Of the pack space in `directory`, by pack. Of a note that cannot be read the pack alone is known.
Result<std::vector<LostPack>> read_lost_packs(const std::string& directory);
// Durable when it returns success.
Status write_lost_pack(const std::string& directory, const LostPack& note);
// The note; what was set aside stays. Not there: no error.
Status remove_lost_pack(const std::string& directory, const PackId& pack);
// Where the bytes of a pack that is set aside go.
std::string unsound_path(const std::string& directory, const PackId& pack);

}  // namespace lamina
