#include "origin/lost_chunks.hpp"

#include "shared/store/chunk_index.hpp"

namespace lamina::origin {

Status for_each_lost(const DataDirectory& data, const Catalog& catalog,
                     const std::function<void(const Catalog::ChunkNeed&)>& visit) {
  auto layers = ChunkIndex::open(data.layers());
  if (!layers) return fail(std::move(layers.error()));
  auto cvds = ChunkIndex::open(data.cvds());
  if (!cvds) return fail(std::move(cvds.error()));
  return layers->read([&](const ChunkIndex::Look& in_layers) {
    return cvds->read([&](const ChunkIndex::Look& in_cvds) {
      Status looked = Done{};
      auto scanned = catalog.for_each_need([&](const Catalog::ChunkNeed& need) {
        if (!looked) return;
        auto has = in_layers.has(need.chunk);
        if (has && !*has && need.device) has = in_cvds.has(need.chunk);
        if (!has)
          looked = fail(std::move(has.error()));
        else if (!*has)
          visit(need);
      });
      return scanned ? looked : scanned;
    });
  });
}

}  // namespace lamina::origin
