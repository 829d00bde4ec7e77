// What the catalogue needs and is not there, for `lamina-origin check`, `repair` and the scrub.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "origin/catalog/catalog.hpp"
#include "origin/data_directory.hpp"

namespace lamina::origin {

// Layers look in the packs of layers, devices in those of CVDs, too. `not_found` or `corrupt` when
// one of the two has no index that can be read.
Status for_each_lost(const DataDirectory& data, const Catalog& catalog,
                     const std::function<void(const Catalog::ChunkNeed&)>& visit);

// Packs that layers name and that are not there, each with those layers. A layer whose distribution
// record cannot be read names none.
Result<std::map<PackId, std::vector<LayerId>>> find_lost_packs(const DataDirectory& data,
                                                               const Catalog& catalog);

}  // namespace lamina::origin
