#include "origin/lost_chunks.hpp"

#include "shared/format/record.hpp"
#include "shared/format/signed_layer.hpp"
#include "shared/os/file.hpp"
#include "shared/store/chunk_index.hpp"
#include "shared/store/pack_files.hpp"

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

Result<std::map<PackId, std::vector<LayerId>>> find_lost_packs(const DataDirectory& data,
                                                               const Catalog& catalog) {
  auto keys = read_keys(data);
  if (!keys) return fail(std::move(keys.error()));
  auto files = PackFiles::open(data.layers(), PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  auto layers = catalog.layers();
  if (!layers) return fail(std::move(layers.error()));
  const PublicKey target = keys->target.public_key();
  std::map<PackId, std::vector<LayerId>> lost;
  for (const wire::LayerInfo& layer : *layers) {
    auto envelope = os::read_file(data.object("distributions", layer.id.hex()), format::kRecordMax);
    if (!envelope) continue;
    auto record = format::open_distribution(layer.id, *envelope, target);
    if (!record) continue;
    for (const format::DistributedPack& pack : record->packs)
      if (!files->has(pack.id)) lost[pack.id].push_back(layer.id);
  }
  return lost;
}

}  // namespace lamina::origin
