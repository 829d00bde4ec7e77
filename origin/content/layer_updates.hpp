// LayerUpdates: packs with which a device that has an earlier layer needs fewer of a new one's
// (shared/update), added to those that its distribution record names.
//
// (slow: about 15 s of processor for each GB of the earlier layer, and what the effort costs.)
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "origin/content/layer_packs.hpp"
#include "shared/delta/frame.hpp"

namespace lamina::origin {

struct UpdateWish {
  std::vector<LayerId> from;  // Each for an update of its own.
  delta::Effort effort = delta::Effort::standard;
};

struct LayerUpdate {
  LayerId from;
  std::string version;
  Bytes bytes;  // That a device with it fetches: the update's, and packs that it still needs.
};

// Makes the updates from `bases` and adds them to `packs`, which are those of `layer`. An update
// that saves little is left out. Its packs are in the store when this returns, and named by nobody
// yet. Errors are those of the stores.
Result<std::vector<LayerUpdate>> add_updates(
    ChunkStore& store, const std::string& temporary, const LayerPacks& layer,
    const format::ManifestRef& manifest, const std::vector<Published>& bases, delta::Effort effort,
    const std::function<bool()>& is_stopping, std::vector<format::DistributedPack>& packs);

}  // namespace lamina::origin
