// What a mirror does next: which layers' records it asks for, which packs it fetches, what it
// serves, and what it removes. A pure function of what is known.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "shared/base/ids.hpp"
#include "shared/base/units.hpp"

namespace lamina::origin {

struct MirrorLayer {
  TorrentId torrent;
  std::map<PackId, Bytes> packs;  // By size.
};

struct MirrorFacts {
  std::optional<std::set<LayerId>> listed;  // Of the origin; none: it has not said yet.
  std::map<LayerId, MirrorLayer> known;     // Whose records are here, checked.
  std::map<PackId, Bytes> held;             // Verified, by size.
  std::map<PackId, Bytes> partial;          // What is here of packs that are half here.
  std::set<TorrentId> served;
  Bytes free;     // Of the disk...
  Bytes reserve;  // ...of which so much is left free.
};

struct MirrorPlan {
  // In this order.
  std::vector<TorrentId> withdraw;
  std::vector<LayerId> forget;
  std::vector<PackId> remove;
  std::vector<PackId> remove_partial;
  std::vector<LayerId> serve;  // Whole now.
  std::vector<LayerId> ask;
  // Each once; those of the layer with the least to come first, so that it can be served soon. No
  // more than there is space for.
  std::vector<PackId> fetch;

  std::vector<LayerId> complete;  // Layers that are whole.
  Bytes held;                     // Of packs of known layers.
  Bytes missing;
  Bytes lacking_space;  // 0: there is enough.
};

MirrorPlan plan_mirror(const MirrorFacts& facts);

}  // namespace lamina::origin
