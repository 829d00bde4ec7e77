// A layer as it lies in the cache: its records, and the packs that its chunks are read from.
//
// Both processes read it so. What is found is only where to look: every chunk is checked against
// the layer's own ids as it is read. Blocking; any thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "node/state.hpp"
#include "shared/format/record.hpp"
#include "shared/store/pack_part.hpp"
#include "shared/store/pack_set.hpp"

namespace lamina::node {

std::string record_path(const StateDirectory& state, const LayerId& layer, const char* kind);

// Verified; errors name the layer.
Result<format::LayerRecord> read_record(const StateDirectory& state, const LayerId& layer,
                                        const TrustedKeys& keys);
Result<format::DistributionRecord> read_distribution(const StateDirectory& state,
                                                     const LayerId& layer, const TrustedKeys& keys);

// What was made here of a layer by an update (shared/update): cache/records/<layer>.rebuilt. Nobody
// signed it.
struct Rebuilt {
  LayerId base;  // Or format::kNoLayer.
  // With the layer's chunks that the base lacks; they lie among the packs, and no other device
  // knows them.
  std::vector<format::DistributedPack> packs;
  // Of the layer's packs that the update stands for, those that are needed all the same...
  std::set<PackId> lacking;
  // ...and those of which some chunks are. Until all of these are taken out of them the layer
  // cannot be read.
  std::map<PackId, PackPart> parts = {};
  // Chunks that another device of the site is to give, which makes them at the cost of much time.
  // Until they are here the layer cannot be read.
  std::set<ChunkId> awaited = {};
  // Of `packs`, those that were made at such a cost, and are given to others of the site.
  std::set<PackId> costly = {};
  // What is known of the update by then: for the report at the end.
  struct Figures {
    std::int64_t started_ms = 0;  // Since the epoch.
    std::uint64_t chunks = 0;     // That came out of the update...
    std::uint64_t bytes = 0;      // ...and theirs, plain.
    std::uint64_t lacking_chunks = 0;
    std::uint64_t fallback_bytes = 0;  // Fetched for these until now.
    bool operator==(const Figures&) const = default;
  };
  Figures figures = {};  // With `parts` and `awaited` only.

  // Whether there is more of it than what older programs know.
  bool has_more() const { return !parts.empty() || !awaited.empty() || !costly.empty(); }
};
// None: there is none, or it cannot be read.
std::optional<Rebuilt> read_rebuilt(const StateDirectory& state, const LayerId& layer);
Status write_rebuilt(const StateDirectory& state, const LayerId& layer, const Rebuilt& rebuilt);

// Adds the packs that the layer is read from to `set`. The content of a pack that is not whole here
// may be in another layer's packs, or in what was rebuilt from it, which are added then. `added`:
// which layers were, and whether all of it.
Status add_packs(const StateDirectory& state, const LayerId& layer, const TrustedKeys& keys,
                 PackSet& set, std::map<LayerId, bool>& added);

}  // namespace lamina::node
