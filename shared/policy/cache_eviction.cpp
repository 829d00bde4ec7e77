#include "shared/policy/cache_eviction.hpp"

#include <algorithm>
#include <tuple>

#include "shared/base/assert.hpp"

namespace lamina::policy {

Watermarks watermarks_of(std::optional<Bytes> limit, const CacheDisk& disk) {
  const Bytes stays_free = std::min(Bytes{disk.total.count / 10}, 20_GiB);
  const Bytes room = disk.cache + disk.free - stays_free;
  const Bytes wanted = limit.value_or(Bytes{disk.total.count / 5});
  const Bytes high = std::max(Bytes{}, std::min(wanted, room));
  return {.high = high, .low = Bytes{high.count - high.count / 10}};
}

Eviction choose_evictions(std::span<const CachedPack> packs, const Watermarks& marks) {
  LAMINA_ASSERT(marks.low <= marks.high && marks.low >= Bytes{});
  Bytes total;
  std::vector<const CachedPack*> loose;
  for (const CachedPack& pack : packs) {
    LAMINA_ASSERT(pack.size >= Bytes{});
    total += pack.size;
    if (!pack.pinned) loose.push_back(&pack);
  }
  Eviction eviction;
  if (total <= marks.high) return eviction;

  std::ranges::sort(loose, {}, [](const CachedPack* p) { return std::tuple(p->used, p->pack); });
  for (const CachedPack* pack : loose) {
    if (total - eviction.freed <= marks.low) break;
    eviction.packs.push_back(pack->pack);
    eviction.freed += pack->size;
  }
  eviction.over = std::max(Bytes{}, total - eviction.freed - marks.low);
  return eviction;
}

}  // namespace lamina::policy
