// LayerPacks: which packs a layer is fetched from, and who needs them.
//
// Chunks of a layer that came with earlier ones lie in packs that were made for those. A device
// that has none of them would fetch all that the layer does not need of such a pack. So packs that
// are *worn* for the layer are not named: what it needs of them is written anew into packs of its
// own, which a later layer may use again. A device that has an earlier layer with the same content
// does not need those; the distribution record says so pack by pack.
//
// Memory: about 150 bytes for each chunk of the layer. (slow) One thread at a time.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "shared/format/record.hpp"
#include "shared/store/chunk_store.hpp"

namespace lamina::origin {

// A pack of which a layer needs something.
struct PackUse {
  PackId pack;
  std::uint64_t size = 0;  // Bytes of the file.
  std::uint64_t live = 0;  // Of them for the layer.
};
// Those to be written anew so that the others have next to no dead weight: the ones with the most
// of it for what there is to copy, and no more of them than needed.
std::vector<PackId> worn_packs(std::vector<PackUse> uses);

// A layer that was published before.
struct Published {
  LayerId layer;
  std::string name;
  std::string version;
  WallTime created;
  format::ManifestRef manifest;
  std::vector<format::DistributedPack> packs;
};

class LayerPacks {
 public:
  // Packs of a layer may be unneeded on devices that have one of so many others: versions of the
  // same name, and layers of other names. Each costs reading its manifest.
  static constexpr std::size_t kVersionsMax = 5, kOthersMax = 3;

  // `name`: of the layer. The store outlives this.
  LayerPacks(ChunkStore& store, std::string name) : store_(store), name_(std::move(name)) {}

  // A chunk that the layer needs, in the order of its manifest; one that is known is skipped.
  // `not_found` names a chunk that the store does not have.
  Status add(const format::ChunkRef& chunk, bool is_metadata);

  // Writes the packs that are worn anew. Call once, after the last add(). `published` without the
  // layer itself.
  Status make_lean(const std::vector<Published>& published);

  // Ascending, each once.
  std::vector<ChunkId> chunks() const;
  // Where the layer takes a chunk from; `not_found` when it is none of its.
  Result<PackId> pack_of(const ChunkId& id) const;
  std::map<PackId, std::vector<ChunkId>> chunks_by_pack() const;
  // In the order of a distribution record.
  Result<std::vector<format::DistributedPack>> packs() const;
  Bytes written() const { return written_; }  // By make_lean().

 private:
  // By their places in the list of bases.
  using Bases = std::uint8_t;
  static_assert(kVersionsMax + kOthersMax <= 8 * sizeof(Bases));

  struct Chunk {
    ChunkId id;
    ChunkStore::FramePlace at;
    bool is_metadata = false;
    Bases bases = 0;  // That have it too.
  };
  struct Base {
    LayerId layer;
    std::set<PackId> packs;  // That every device with it has.
  };

  Result<std::vector<PackUse>> uses() const;
  // The layers that may stand in for packs of this one, ascending.
  std::vector<const Published*> choose_bases(const std::vector<Published>& published) const;
  Status write_anew(const std::set<PackId>& worn);
  // The chunk, if the pack's frame `number` is where the layer takes it from.
  const Chunk* find(const ChunkId& id, const ChunkStore::FramePlace& at) const;

  ChunkStore& store_;
  std::string name_;
  std::vector<Chunk> chunks_;  // In the order of the manifest.
  std::unordered_map<ChunkId, std::size_t, IdHash> numbers_;
  std::vector<Base> bases_;  // Ascending.
  Bytes written_;
};

}  // namespace lamina::origin
