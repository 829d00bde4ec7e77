// Which packs leave a cache that has grown over its limit.
//
// Nothing happens up to the high watermark; above it packs leave, the least recently used first,
// until the cache is at the low one: room for a while instead of a pack at a time. What is pinned
// (content that is assigned to the device, or to its site) never leaves, so that a cache full of
// pins stays above the watermark and says so.
//
// Pure function; any thread.
#pragma once

#include <span>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

struct Watermarks {
  Bytes high;
  Bytes low;  // At most `high`.
};

struct CachedPack {
  PackId pack;
  Bytes size;
  Instant used;  // When it last served anybody, or came.
  bool pinned = false;
};

struct Eviction {
  std::vector<PackId> packs;  // In the order in which they should go.
  Bytes freed;
  Bytes over;  // What stays above the low watermark because it is pinned; 0 if nothing does.
};

// O(n log n). Packs used at the same time go in the order of their ids.
Eviction choose_evictions(std::span<const CachedPack> packs, const Watermarks& marks);

}  // namespace lamina::policy
