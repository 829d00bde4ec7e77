#include "origin/content/layer_updates.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include "shared/base/log.hpp"
#include "shared/update/make_update.hpp"
#include "shared/update/programs.hpp"

namespace lamina::origin {
namespace {

// An update that is not smaller than so much of what it stands for is not worth the processor time
// of those who would take it.
constexpr std::uint64_t kWorthNumerator = 4, kWorthDenominator = 5;
// Two groups of a large file and its predecessor take 1.5 GB.
constexpr unsigned kThreadsMax = 2;

bool holds(const std::vector<LayerId>& layers, const LayerId& layer) {
  return std::ranges::find(layers, layer) != layers.end();
}

}  // namespace

Result<std::vector<LayerUpdate>> add_updates(
    ChunkStore& store, const std::string& temporary, const LayerPacks& layer,
    const format::ManifestRef& manifest, const std::vector<Published>& bases, delta::Effort effort,
    const std::function<bool()>& is_stopping, std::vector<format::DistributedPack>& packs) {
  std::vector<LayerUpdate> updates;
  const auto by_pack = layer.chunks_by_pack();
  std::map<PackId, format::DistributedPack> added;
  for (const Published& base : bases) {
    const std::string what = "the update from " + base.name + ' ' + base.version;
    auto directory = os::TemporaryDirectory::make(temporary, "update-");
    if (!directory) return fail(std::move(directory.error()));
    auto files = PackFiles::open(directory->path(), PackFiles::Access::spool);
    if (!files) return fail(std::move(files.error()));
    auto made = update::make_update(
        base.manifest, manifest, store.source(),
        [&](const ChunkId& id) { return layer.pack_of(id); }, *files,
        {.encoding = {.effort = effort,
                      .threads = std::clamp(std::thread::hardware_concurrency(), 1U, kThreadsMax),
                      .programs = update::machine_programs(),
                      .is_stopping = is_stopping}});
    if (!made) {
      const ErrorKind kind = made.error().kind();
      if (kind == ErrorKind::unavailable || kind == ErrorKind::out_of_space)
        return fail(std::move(made.error()).in(what));
      // An earlier layer that cannot be read is no reason to keep a new one back.
      log::warning("update_not_made", {{"from", base.layer}, {"error", made.error().text()}});
      continue;
    }

    std::set<ChunkId> had = std::move(made->covered);
    auto looked = format::for_each_chunk(base.manifest, store.source(),
                                         [&](const format::ChunkRef& ref, bool) -> Status {
                                           had.insert(ref.id);
                                           return Done{};
                                         });
    if (!looked) return fail(std::move(looked.error()).in(what));
    std::set<PackId> covered;  // That the base alone does not stand for.
    std::uint64_t instead_of = 0;
    std::uint64_t needed = made->bytes();
    for (const format::DistributedPack& pack : packs) {
      if (holds(pack.unless, base.layer)) continue;
      const auto there = std::ranges::find(base.packs, pack.id, &format::DistributedPack::id);
      if (there != base.packs.end() && format::is_for_everyone(*there)) continue;
      const auto chunks = by_pack.find(pack.id);
      if (chunks != by_pack.end() && std::ranges::all_of(chunks->second, [&](const ChunkId& id) {
            return had.contains(id);
          })) {
        covered.insert(pack.id);
        instead_of += pack.size;
      } else {
        needed += pack.size;
      }
    }
    if (made->bytes() * kWorthDenominator >= instead_of * kWorthNumerator) continue;
    for (format::DistributedPack& pack : packs)
      if (covered.contains(pack.id)) pack.unless_updated.push_back(base.layer);
    for (const update::MadeUpdate::Pack& pack : made->packs) {
      auto taken = store.take_in(files->path_of(pack.id), pack.id);
      if (!taken) return fail(std::move(taken.error()).in(what));
      auto& entry = added[pack.id];
      entry.id = pack.id;
      entry.size = pack.size;
      entry.is_metadata = entry.is_metadata || pack.is_metadata;
      entry.update_from.push_back(base.layer);
    }
    updates.push_back({base.layer, base.version, Bytes{static_cast<std::int64_t>(needed)}});
  }
  for (auto& [id, pack] : added) packs.push_back(std::move(pack));
  for (format::DistributedPack& pack : packs) {
    std::ranges::sort(pack.unless_updated);
    std::ranges::sort(pack.update_from);
  }
  std::ranges::sort(packs, {}, [](const format::DistributedPack& pack) {
    return std::tuple(!pack.is_metadata, pack.id);
  });
  return updates;
}

}  // namespace lamina::origin
