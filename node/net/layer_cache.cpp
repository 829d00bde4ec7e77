#include "node/net/layer_cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "node/net/layer_transfer.hpp"
#include "shared/base/log.hpp"
#include "shared/os/file.hpp"
#include "shared/swarm/piece_map.hpp"

namespace lamina::node {
namespace {

// A layer's records are written when it comes; their time is moved on when it serves.
std::string marker_of(const StateDirectory& state, const LayerId& layer) {
  return state.records() + '/' + layer.hex() + ".distribution";
}

}  // namespace

Instant LayerCache::used_at(const LayerId& layer) const {
  struct stat facts {};
  if (::stat(marker_of(state_, layer).c_str(), &facts) != 0) return Instant{};
  return Instant{std::chrono::seconds{facts.st_mtim.tv_sec} +
                 std::chrono::nanoseconds{facts.st_mtim.tv_nsec}};
}

void LayerCache::used(const LayerId& layer) const {
  if (::utimensat(AT_FDCWD, marker_of(state_, layer).c_str(), nullptr, 0) != 0)
    log::warning("layer_not_marked", {{"layer", layer}});
}

void LayerCache::load(const std::set<LayerId>& target) {
  std::erase_if(kept_, [&](const auto& entry) {
    return target.contains(entry.first) || !is_here(state_, entry.second);
  });
  const auto ids = recorded_layers(state_);
  if (!ids) return log::warning("cache_not_read", {{"error", ids.error().text()}});
  for (const LayerId& id : *ids) {
    if (target.contains(id) || kept_.contains(id)) continue;
    // One that is not whole, or that nobody signed any more, goes with the next cleaning.
    auto files = load_layer(state_, id, keys_);
    if (files && is_here(state_, *files)) kept_.emplace(id, std::move(*files));
  }
}

bool LayerCache::keep(const LayerFiles& layer) {
  // Anew: it is whole without what the target had beside it.
  auto files = load_layer(state_, layer.layer, keys_);
  if (!files || !is_here(state_, *files)) return false;
  used(layer.layer);
  kept_.insert_or_assign(layer.layer, std::move(*files));
  return true;
}

Status LayerCache::settle(const Needs& needs, const std::function<void(const LayerId&)>& leave) {
  std::set<LayerId> target;
  for (const LayerFiles& layer : needs.target) target.insert(layer.layer);
  const auto served = kept_;  // Nobody serves the others yet.
  load(target);

  std::map<PackId, policy::CachedPack> packs;
  const auto add = [&](const Leaning& leaning, Instant used, bool pinned) {
    for (const format::DistributedPack& pack : leaning.packs) {
      policy::CachedPack& entry = packs[pack.id];
      entry.pack = pack.id;
      entry.size = Bytes{static_cast<std::int64_t>(pack.size)};
      entry.used = std::max(entry.used, used);
      entry.pinned = entry.pinned || pinned;
    }
  };
  // What a layer leans on stays as long as that layer does.
  std::set<LayerId> pinned(needs.applied.begin(), needs.applied.end());
  for (const LayerFiles& layer : needs.target) {
    Leaning leaning = leaning_of(state_, layer);
    add(leaning, {}, true);
    pinned.merge(leaning.upon);
  }
  needed_.clear();
  for (const auto& [id, pack] : packs) needed_.insert(id);
  std::map<LayerId, Leaning> leanings;
  for (const auto& [id, files] : kept_) leanings.emplace(id, leaning_of(state_, files));
  for (const LayerId& id : needs.applied)
    if (const auto leaning = leanings.find(id); leaning != leanings.end())
      pinned.insert(leaning->second.upon.begin(), leaning->second.upon.end());
  std::set<LayerId> going;
  for (const auto& [id, leaning] : leanings) {
    const bool is_pinned = pinned.contains(id);
    if (is_pinned || needs.keeps_others)
      add(leaning, used_at(id), is_pinned);
    else
      going.insert(id);
  }
  const auto space = os::space_of(state_.packs());
  const auto cache = cache_size(state_);
  if (!space) return fail(space.error());
  if (!cache) return fail(cache.error());
  const auto marks = policy::watermarks_of(needs.limit, {*cache, space->free, space->total});
  std::vector<policy::CachedPack> list;
  for (const auto& [id, pack] : packs) list.push_back(pack);
  const auto eviction = policy::choose_evictions(list, marks);
  const std::set<PackId> evicted(eviction.packs.begin(), eviction.packs.end());
  for (const auto& [id, leaning] : leanings)
    if (std::ranges::any_of(leaning.packs,
                            [&](const auto& pack) { return evicted.contains(pack.id); }))
      going.insert(id);
  limit_ = marks.high;
  Bytes held;
  for (const policy::CachedPack& pack : list)
    if (pack.pinned) held += pack.size;
  over_ = std::max(Bytes{}, held - marks.high);

  for (const auto& [id, files] : served)
    if (going.contains(id) || !kept_.contains(id)) leave(id);
  for (const LayerId& id : going) {
    log::info("layer_evicted", {{"layer", id}, {"name", kept_.at(id).name}});
    kept_.erase(id);
  }
  std::vector<LayerFiles> staying = needs.target;
  for (const auto& [id, files] : kept_) staying.push_back(files);
  auto freed = remove_others(state_, staying, needs.unfinished);
  if (!freed) return fail(std::move(freed.error()));
  if (freed->count > 0) log::info("cache_cleaned", {{"freed", *freed}});
  return Done{};
}

bool LayerCache::take_in(const std::vector<LayerFiles>& target) {
  const StateDirectory from = import_directory(state_);
  const auto ids = recorded_layers(from);
  if (!ids) return false;  // Nothing was imported.
  bool came = false;
  const auto take = [&](const LayerFiles& layer) -> Status {
    for (const format::DistributedPack& pack : layer.packs) {
      if (swarm::is_whole(state_.cache(), pack.id, pack.size) ||
          !swarm::is_whole(from.cache(), pack.id, pack.size))
        continue;
      // The tree last: with it the pack is whole. Both are on the same disk.
      const std::string name = '/' + pack.id.hex();
      if (auto done = os::rename_file(from.packs() + name, state_.packs() + name); !done)
        return done;
      if (auto done = os::rename_file(from.trees() + name, state_.trees() + name); !done)
        return done;
      came = true;
    }
    return Done{};
  };
  const auto failed = [](const Error& error) {
    log::warning("import_not_taken", {{"error", error.text()}});
    return false;
  };
  for (const LayerFiles& layer : target)
    if (auto done = take(layer); !done) return failed(done.error());
  for (const LayerId& id : *ids) {
    auto envelopes = read_layer(from, id, keys_);
    auto layer = envelopes ? check_layer(id, *envelopes, keys_)
                           : Result<LayerFiles>(fail(std::move(envelopes.error())));
    if (!layer) {
      log::warning("import_refused", {{"layer", id}, {"error", layer.error().text()}});
      continue;
    }
    const bool is_here = std::ranges::all_of(layer->packs, [&](const auto& pack) {
      return !pack.update_from.empty() || swarm::is_whole(state_.cache(), pack.id, pack.size) ||
             swarm::is_whole(from.cache(), pack.id, pack.size);
    });
    if (!is_here) continue;  // It waits for the rest.
    auto done = keep_layer(state_, id, *envelopes, keys_);
    if (done) done = take(*layer);
    if (done) done = forget_layer(from, id);
    if (!done) {
      failed(done.error());
      continue;
    }
    log::info("layer_imported", {{"layer", id}, {"name", layer->name}});
    came = true;
  }
  return came;
}

wire::CacheState LayerCache::look() const {
  std::map<PackId, std::uint64_t> packs;
  for (const auto& [id, files] : kept_)
    for (const format::DistributedPack& pack : leaning_of(state_, files).packs)
      if (!needed_.contains(pack.id)) packs[pack.id] = pack.size;
  wire::CacheState state{.limit_bytes = limit_.count, .over_bytes = over_.count};
  for (const auto& [pack, size] : packs) state.kept_bytes += static_cast<std::int64_t>(size);
  if (const auto size = cache_size(state_)) state.bytes = size->count;
  return state;
}

}  // namespace lamina::node
