// What the catalogue needs and no pack has, for `lamina-origin check` and `repair`.
#pragma once

#include <functional>

#include "origin/catalog/catalog.hpp"
#include "origin/data_directory.hpp"

namespace lamina::origin {

// Layers look in the packs of layers, devices in those of CVDs, too. `not_found` or `corrupt` when
// one of the two has no index that can be read.
Status for_each_lost(const DataDirectory& data, const Catalog& catalog,
                     const std::function<void(const Catalog::ChunkNeed&)>& visit);

}  // namespace lamina::origin
