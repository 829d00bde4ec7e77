// Which pieces of which packs are on disk, remembered across restarts.
//
// The directory of a device's packs:
//   <directory>/packs/<pack id>   the pack, perhaps with holes
//   <directory>/trees/<pack id>   its block hashes: there only when the pack is whole and verified
//   <directory>/state/pieces      the pieces of packs that are not whole yet
//
// The map is written after the packs' data was synced (and so never claims more than is on disk
// after a crash); a tree after the whole pack was read back and led to its id. Functions block and
// are safe from any thread, one at a time for one directory.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "shared/base/ids.hpp"

namespace lamina::swarm {

// Which pieces of a pack are held: one bit a piece of kPieceSize.
using PieceBits = std::vector<bool>;
using PieceMap = std::map<PackId, PieceBits>;

// Canonical bytes, with a checksum, and the reverse: `corrupt` unless every byte is as written.
Buffer encode(const PieceMap& map);
Result<PieceMap> parse_piece_map(ByteView bytes);

// The map as it was last saved; empty when there is none. Pieces beyond the end of their pack's
// file are left out. `corrupt`: start from an empty one.
Result<PieceMap> load_piece_map(const std::string& directory);

// Syncs the packs in `changed`, then writes `map` so that after a crash the old or the new one is
// there.
Status save_piece_map(const std::string& directory, const PieceMap& map,
                      const std::set<PackId>& changed);

// Whether the pack is whole: its tree is there and its file has `size` bytes.
bool is_whole(const std::string& directory, const PackId& pack, std::uint64_t size);

// Syncs the pack, reads all of it, and writes its tree if it leads to the id. `corrupt` when it
// does not: some piece is not what it was.
Status finish_pack(const std::string& directory, const PackId& pack, std::uint64_t size);

// Takes the pack's tree away: it counts as missing from now on. Its bytes stay.
Status forget_pack(const std::string& directory, const PackId& pack);

}  // namespace lamina::swarm
