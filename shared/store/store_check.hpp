// check_store(): whether a pack space (packs, their block hashes, the index) is what it says.
// repair_store(): makes index and block hashes anew from the packs.
//
// The check reads only and takes no lock: the store may be in use meanwhile, but not swept. Without
// `read_data` what says where the bytes lie is checked (headers, footers, pack indexes, block
// hashes, every row of the index); with it every byte of every pack. Memory: one pack, a count a
// pack, and what was found. One thread a call.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "shared/store/pack_files.hpp"

namespace lamina {

struct StoreCheckOptions {
  bool read_data = false;
  // Only the packs of part `part` of `parts`, by their ids: as many runs see each once.
  std::uint32_t part = 1;
  std::uint32_t parts = 1;
  // Bytes of packs looked at, of how many; after each pack.
  std::function<void(Bytes done, Bytes total)> progress = {};
};

struct StoreFinding {
  enum class Kind {
    index_lost,     // There is none, or it cannot be read.
    pack_lost,      // The index has chunks in a pack that is not there.
    pack_aside,     // It was set aside, and some of its chunks are not back (lost_pack.hpp).
    pack_broken,    // It is no sound pack, or its bytes are not those of its name.
    hashes_broken,  // Its block hashes do not lead to it: it cannot be seeded.
    rows_wrong,     // The index has chunks at places of it where they are not.
  };
  Kind kind;
  PackId pack;  // None: of the index.
  std::string text;
  std::set<ChunkId> unreadable;  // Chunks that cannot be had because of it.
};
// "pack-broken"; stable.
std::string_view name_of(StoreFinding::Kind kind);

struct StoreCheck {
  std::uint64_t packs = 0;   // That were looked at...
  std::uint64_t chunks = 0;  // ...and their chunks.
  // Of those, that the index does not know: nothing needed them, or a process was killed before it
  // wrote the rows. Whether something needs them now, who keeps what is needed can tell.
  std::uint64_t unknown = 0;
  Bytes read;  // Of their content.
  std::vector<StoreFinding> findings;
};

// Of the pack space in `directory`. `not_found` when it is none; what else keeps the check itself
// from going on is its error, what is wrong with the store is a finding.
Result<StoreCheck> check_store(const std::string& directory, const StoreCheckOptions& options);

struct StoreRepair {
  std::uint64_t packs = 0;        // That are sound.
  std::uint64_t hashes = 0;       // Whose block hashes were made anew.
  std::vector<PackId> unsound;    // With other bytes than their names say: now in unsound/.
  bool index_was_broken = false;  // Or not there: then nothing is known of the next two.
  std::uint64_t added = 0;        // Chunks that the index did not know.
  std::uint64_t removed = 0;      // That it knew and no sound pack has.
};
// `trusted`: somebody has just proven every pack by its bytes; they are not read again.
enum class PackProof { read, trusted };
// Makes a new index from the packs, reading every one whole, and puts it in the old one's place;
// makes block hashes anew where they do not lead to their pack. Takes the store's lock:
// `unavailable` while another process has it. Killed at any time, it can be begun again.
Result<StoreRepair> repair_store(const std::string& directory,
                                 const std::function<void(Bytes done, Bytes total)>& progress,
                                 PackProof proof = PackProof::read);

}  // namespace lamina
