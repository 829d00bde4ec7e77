// Which packs leave a cache that has grown over its limit.
//
// Nothing happens up to the high watermark; above it packs leave, the least recently used first,
// until the cache is at the low one: room for a while instead of a pack at a time. What is pinned
// (content that is assigned to the device, or to its site) never leaves, so that a cache full of
// pins stays above the watermark and says so.
//
// Pure function; any thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::policy {

struct Watermarks {
  Bytes high;
  Bytes low;  // At most `high`.
};

// The disk with the cache, and what the cache takes of it now.
struct CacheDisk {
  Bytes cache;
  Bytes free;
  Bytes total;
};

// The high mark is the configured limit (none: a fifth of the disk), and never so high that less
// than a tenth of the disk, or 20 GiB of a large one, stays free; the low one a tenth below.
Watermarks watermarks_of(std::optional<Bytes> limit, const CacheDisk& disk);

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
