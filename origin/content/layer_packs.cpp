#include "origin/content/layer_packs.hpp"

#include <algorithm>
#include <tuple>

namespace lamina::origin {
namespace {

// What a fresh device may fetch in vain: one in a hundred bytes, and less than a piece of the swarm
// at any rate.
constexpr std::uint64_t kDeadShare = 100;
constexpr std::uint64_t kDeadBytes = std::uint64_t{64} << 10;

// As `lamina layer capture` codes: an administrator waits for this too.
constexpr int kLevel = 3;

}  // namespace

std::vector<PackId> worn_packs(std::vector<PackUse> uses) {
  std::uint64_t live = 0;
  std::uint64_t dead = 0;
  for (const PackUse& use : uses) {
    live += use.live;
    dead += use.size - use.live;
  }
  const std::uint64_t allowed = std::max(live / kDeadShare, kDeadBytes);
  // The dead share of a pack says what a copied byte gains.
  std::ranges::sort(uses, [](const PackUse& a, const PackUse& b) {
    const auto left = static_cast<double>(a.live) / static_cast<double>(a.size);
    const auto right = static_cast<double>(b.live) / static_cast<double>(b.size);
    return left != right ? left < right : a.pack < b.pack;
  });
  std::vector<PackId> worn;
  for (const PackUse& use : uses) {
    if (dead <= allowed) break;
    worn.push_back(use.pack);
    dead -= use.size - use.live;
  }
  return worn;
}

Status LayerPacks::add(const format::ChunkRef& chunk, bool is_metadata) {
  if (!numbers_.try_emplace(chunk.id, chunks_.size()).second) return Done{};
  // What was here for long and nothing needed stays until the catalogue has the layer.
  if (auto claimed = store_.claim({chunk.id}); !claimed) return fail(std::move(claimed.error()));
  auto at = store_.frame_of(chunk.id);
  if (!at) return fail(std::move(at.error()));
  chunks_.push_back({.id = chunk.id, .at = *at, .is_metadata = is_metadata});
  return Done{};
}

const LayerPacks::Chunk* LayerPacks::find(const ChunkId& id,
                                          const ChunkStore::FramePlace& at) const {
  const auto known = numbers_.find(id);
  if (known == numbers_.end()) return nullptr;
  const Chunk& chunk = chunks_[known->second];
  return chunk.at == at ? &chunk : nullptr;
}

// A frame that is needed in part counts with that part of its coded bytes.
Result<std::vector<PackUse>> LayerPacks::uses() const {
  std::set<PackId> packs;
  for (const Chunk& chunk : chunks_) packs.insert(chunk.at.pack);
  std::vector<PackUse> uses;
  for (const PackId& id : packs) {
    auto pack = store_.files().read(id);
    if (!pack) return fail(std::move(pack.error()));
    std::uint64_t dead = 0;
    const auto& frames = pack->index().frames;
    for (std::uint32_t number = 0; number < frames.size(); ++number) {
      std::uint64_t unused = 0;
      for (const format::ChunkRef& chunk : frames[number].chunks)
        if (find(chunk.id, {id, number}) == nullptr) unused += chunk.length;
      dead += frames[number].coded_size * unused / frames[number].plain_size;
    }
    uses.push_back({id, pack->size(), pack->size() - std::min(pack->size(), dead)});
  }
  return uses;
}

// Devices mostly have one of the newest versions of the same name. Layers of other names are what
// they have beside it.
std::vector<const Published*> LayerPacks::choose_bases(
    const std::vector<Published>& published) const {
  std::set<PackId> used;
  for (const Chunk& chunk : chunks_) used.insert(chunk.at.pack);
  std::map<LayerId, std::uint64_t> shared;
  for (const Published& one : published)
    for (const format::DistributedPack& pack : one.packs) {
      if (!used.contains(pack.id)) continue;
      shared[one.layer] += pack.size;
      for (const LayerId& base : pack.unless) shared[base] += pack.size;
    }
  std::vector<const Published*> versions, others;
  for (const Published& one : published)
    if (one.name == name_)
      versions.push_back(&one);
    else if (shared.contains(one.layer))
      others.push_back(&one);
  std::ranges::sort(versions, {},
                    [](const Published* one) { return std::pair(-one->created.ns, one->layer); });
  std::ranges::sort(others, {}, [&](const Published* one) {
    return std::tuple(~shared.at(one->layer), -one->created.ns, one->layer);
  });
  if (versions.size() > kVersionsMax) versions.resize(kVersionsMax);
  if (others.size() > kOthersMax) others.resize(kOthersMax);
  versions.insert(versions.end(), others.begin(), others.end());
  std::ranges::sort(versions, {}, &Published::layer);
  return versions;
}

Status LayerPacks::make_lean(const std::vector<Published>& published) {
  for (const Published* one : choose_bases(published)) {
    const auto bit = static_cast<Bases>(1U << bases_.size());
    Base& base = bases_.emplace_back(Base{.layer = one->layer, .packs = {}});
    for (const format::DistributedPack& pack : one->packs)
      if (format::is_for_everyone(pack)) base.packs.insert(pack.id);
    auto looked = format::for_each_chunk(one->manifest, store_.source(),
                                         [&](const format::ChunkRef& ref, bool) -> Status {
                                           const auto known = numbers_.find(ref.id);
                                           if (known != numbers_.end())
                                             chunks_[known->second].bases |= bit;
                                           return Done{};
                                         });
    // One that was removed may be gone in part: what was found of it is not all of it, but true.
    if (!looked && looked.error().kind() != ErrorKind::not_found) return looked;
  }
  auto used = uses();
  if (!used) return fail(std::move(used.error()));
  const auto worn = worn_packs(std::move(*used));
  return write_anew({worn.begin(), worn.end()});
}

Status LayerPacks::write_anew(const std::set<PackId>& worn) {
  // Chunks that other devices need, or that are of another kind, go to other packs.
  using Group = std::pair<bool, Bases>;
  struct Part : ChunkStore::Part {
    std::size_t first = 0;  // The place of its first chunk in the manifest.
  };
  std::map<Group, std::vector<Part>> groups;
  for (const PackId& id : worn) {
    auto pack = store_.files().read(id);
    if (!pack) return fail(std::move(pack.error()));
    const auto& frames = pack->index().frames;
    for (std::uint32_t number = 0; number < frames.size(); ++number) {
      const auto& refs = frames[number].chunks;
      std::map<Group, Part> parts;
      for (std::size_t i = 0; i < refs.size(); ++i) {
        const Chunk* chunk = find(refs[i].id, {id, number});
        if (chunk == nullptr) continue;
        const auto place = static_cast<std::size_t>(chunk - chunks_.data());
        const auto [at, is_new] = parts.try_emplace({chunk->is_metadata, chunk->bases});
        Part& part = at->second;
        if (is_new) {
          part.frame = {id, number};
          part.chunks.resize(refs.size());
          part.first = place;
        }
        part.chunks[i] = true;
        part.first = std::min(part.first, place);
      }
      for (auto& [group, part] : parts) groups[group].push_back(std::move(part));
    }
  }
  for (auto& [group, parts] : groups) {
    std::ranges::sort(parts, {}, &Part::first);
    auto written = store_.write_apart({parts.begin(), parts.end()}, kLevel);
    if (!written) return fail(std::move(written.error()));
    written_ += *written;
  }
  for (Chunk& chunk : chunks_) {
    if (!worn.contains(chunk.at.pack)) continue;
    auto at = store_.frame_of(chunk.id);
    if (!at) return fail(std::move(at.error()));
    chunk.at = *at;
  }
  return Done{};
}

Result<PackId> LayerPacks::pack_of(const ChunkId& id) const {
  const auto known = numbers_.find(id);
  if (known == numbers_.end())
    return fail(ErrorKind::not_found, "the layer has no chunk " + id.short_hex());
  return chunks_[known->second].at.pack;
}

std::map<PackId, std::vector<ChunkId>> LayerPacks::chunks_by_pack() const {
  std::map<PackId, std::vector<ChunkId>> chunks;
  for (const Chunk& chunk : chunks_) chunks[chunk.at.pack].push_back(chunk.id);
  return chunks;
}

std::vector<ChunkId> LayerPacks::chunks() const {
  std::vector<ChunkId> ids;
  ids.reserve(chunks_.size());
  for (const Chunk& chunk : chunks_) ids.push_back(chunk.id);
  std::ranges::sort(ids);
  return ids;
}

Result<std::vector<format::DistributedPack>> LayerPacks::packs() const {
  struct Facts {
    bool is_metadata = false;
    Bases bases = static_cast<Bases>(~Bases{0});
  };
  std::map<PackId, Facts> facts;
  for (const Chunk& chunk : chunks_) {
    Facts& of_pack = facts[chunk.at.pack];
    // A pack with both kinds counts as metadata: it is fetched first then.
    of_pack.is_metadata = of_pack.is_metadata || chunk.is_metadata;
    of_pack.bases &= chunk.bases;
  }
  std::vector<format::DistributedPack> packs;
  for (const bool is_metadata : {true, false})
    for (const auto& [id, of_pack] : facts) {
      if (of_pack.is_metadata != is_metadata) continue;
      auto size = store_.files().size_of(id);
      if (!size) return fail(std::move(size.error()));
      format::DistributedPack pack{id, *size, is_metadata};
      // A device with a base for which everybody needs the pack has it.
      for (std::size_t i = 0; i < bases_.size(); ++i)
        if ((of_pack.bases >> i & 1U) != 0 && !bases_[i].packs.contains(id))
          pack.unless.push_back(bases_[i].layer);
      packs.push_back(std::move(pack));
    }
  return packs;
}

}  // namespace lamina::origin
