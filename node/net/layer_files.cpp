#include "node/net/layer_files.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "shared/format/needed_packs.hpp"
#include "shared/os/file.hpp"
#include "shared/store/pack_look.hpp"
#include "shared/swarm/piece_map.hpp"
#include "shared/swarm/torrent_file.hpp"

namespace lamina::node {
namespace {

std::string torrent_path(const StateDirectory& state, const TorrentId& torrent) {
  return state.torrents() + '/' + torrent.hex() + ".torrent";
}

Status remove_if_there(const std::string& path) {
  auto removed = os::remove_file(path);
  return removed || removed.error().kind() == ErrorKind::not_found ? Status(Done{}) : removed;
}

// Removes the files of a directory that `keep` does not hold; the bytes that were freed.
Status remove_except(const std::string& directory, const std::set<std::string>& keep,
                     Bytes& freed) {
  auto names = os::list_directory(directory);
  if (!names) return fail(std::move(names.error()));
  for (const std::string& name : *names) {
    if (keep.contains(name)) continue;
    const std::string path = directory + '/' + name;
    if (const auto file = os::open_read(path))
      if (const auto size = os::file_size(file->get(), path))
        freed += Bytes{static_cast<std::int64_t>(*size)};
    if (auto done = remove_if_there(path); !done) return done;
  }
  return Done{};
}

using Packs = std::vector<format::DistributedPack>;

// What a layer leans on stays in the cache for it. So many bytes there are worth one over the line:
// layers of versions that follow each other lean on all that came before, which must end somewhere.
constexpr std::uint64_t kKeptForSaved = 16;

bool names(const std::vector<LayerId>& layers, const LayerId& layer) {
  return std::ranges::find(layers, layer) != layers.end();
}

// The packs of the layers that `layer`, which has `packs`, may lean on, as far as they are kept,
// and what was rebuilt of each.
void add_bases(const StateDirectory& state, const TrustedKeys& keys, const LayerId& layer,
               const Packs& packs, LayerFiles& files) {
  std::set<LayerId> named;
  for (const format::DistributedPack& pack : packs)
    for (const auto* list : {&pack.unless, &pack.unless_updated})
      named.insert(list->begin(), list->end());
  if (auto rebuilt = read_rebuilt(state, layer)) {
    named.insert(rebuilt->base);
    files.rebuilt.insert_or_assign(layer, std::move(*rebuilt));
  }
  for (const LayerId& base : named) {
    if (files.bases.contains(base)) continue;
    auto distribution = read_distribution(state, base, keys);
    if (!distribution) continue;
    files.bases.emplace(base, distribution->packs);
    add_bases(state, keys, base, distribution->packs, files);
  }
}

// Which packs stand in for which; looks at each layer and each pack once.
class Standing {
 public:
  Standing(const StateDirectory& state, const LayerFiles& layer) : state_(state), layer_(layer) {
    if (!layer.is_for_site && rebuilt(layer.layer) == nullptr) choose_update();
  }

  bool is_whole(const format::DistributedPack& pack) {
    const auto [known, is_new] = whole_.try_emplace(pack.id, false);
    if (is_new) known->second = swarm::is_whole(state_.cache(), pack.id, pack.size);
    return known->second;
  }

  // The base that stands in for a pack of the layer `of`, alone or with an update; none: the pack
  // itself is needed.
  std::optional<LayerId> base_of(const LayerId& of, const format::DistributedPack& pack) {
    if (is_whole(pack)) return std::nullopt;
    for (const LayerId& base : pack.unless)
      if (layer_.beside.contains(base) || has(base)) return base;
    if (const Rebuilt* made = rebuilt(of)) {
      if (names(pack.unless_updated, made->base) && !made->lacking.contains(pack.id) &&
          !made->parts.contains(pack.id))
        return made->base;
    } else if (of == layer_.layer && update_ && names(pack.unless_updated, *update_)) {
      return update_;
    }
    return std::nullopt;
  }

  // What was rebuilt of a layer, if it can be read; null otherwise.
  const Rebuilt* rebuilt(const LayerId& of) {
    const auto known = layer_.rebuilt.find(of);
    if (known == layer_.rebuilt.end()) return nullptr;
    const Rebuilt& made = known->second;
    const bool is_here =
        std::ranges::all_of(made.packs, [this](const auto& pack) { return is_whole(pack); });
    return is_here && has(made.base) ? &made : nullptr;
  }

  // The part of one of the layer's packs that is needed; null: all of it is, or nothing.
  const PackPart* part_of(const format::DistributedPack& pack) {
    const Rebuilt* const made = rebuilt(layer_.layer);
    if (layer_.is_for_site || made == nullptr || is_whole(pack)) return nullptr;
    const auto part = made->parts.find(pack.id);
    return part == made->parts.end() ? nullptr : &part->second;
  }

  // From which the layer is best updated.
  const std::optional<LayerId>& update() const { return update_; }

  // Whether what was rebuilt of a layer cannot be read yet.
  bool awaits(const LayerId& of) {
    const Rebuilt* const made = rebuilt(of);
    return made != nullptr && !made->awaited.empty();
  }

 private:
  bool has(const LayerId& base) {
    if (base == format::kNoLayer) return true;
    const auto packs = layer_.bases.find(base);
    if (packs == layer_.bases.end()) return false;
    // Until it is known: a layer does not stand in for itself.
    const auto [known, is_new] = layers_.try_emplace(base, false);
    if (is_new)
      layers_[base] = !awaits(base) && std::ranges::all_of(packs->second, [&](const auto& pack) {
        return !pack.update_from.empty() || is_whole(pack) || base_of(base, pack).has_value();
      });
    return layers_[base];
  }

  // The one that saves the most bytes over the line.
  void choose_update() {
    std::map<LayerId, std::int64_t> saved;
    for (const format::DistributedPack& pack : layer_.packs) {
      const auto size = static_cast<std::int64_t>(pack.size);
      if (is_whole(pack)) continue;
      for (const LayerId& base : pack.update_from) saved[base] -= size;
      if (pack.unless_updated.empty() || base_of(layer_.layer, pack)) continue;
      for (const LayerId& base : pack.unless_updated) saved[base] += size;
    }
    std::int64_t most = 0;
    for (const auto& [base, bytes] : saved) {
      if (bytes <= most || !has(base)) continue;
      if (base == format::kNoLayer && layer_.is_fetched_for) continue;
      most = bytes;
      update_ = base;
    }
  }

  const StateDirectory& state_;
  const LayerFiles& layer_;
  std::map<PackId, bool> whole_;
  std::map<LayerId, bool> layers_;
  std::optional<LayerId> update_;
};

}  // namespace

void find_bases(const StateDirectory& state, const TrustedKeys& keys, LayerFiles& layer) {
  layer.bases.clear();
  layer.rebuilt.clear();
  add_bases(state, keys, layer.layer, layer.packs, layer);
}

swarm::PieceBits pieces_of(const PackPart& part, std::uint64_t pack_size) {
  swarm::PieceBits pieces((pack_size + swarm::kPieceSize - 1) / swarm::kPieceSize, false);
  for (const ByteRange& range : part.ranges)
    for (std::uint64_t piece = range.begin / swarm::kPieceSize;
         piece * swarm::kPieceSize < range.end && piece < pieces.size(); ++piece)
      pieces[piece] = true;
  return pieces;
}

Bytes size_of(const swarm::PieceBits& pieces, std::uint64_t pack_size) {
  std::uint64_t size = 0;
  for (std::size_t piece = 0; piece < pieces.size(); ++piece)
    if (pieces[piece])
      size += std::min<std::uint64_t>(swarm::kPieceSize, pack_size - piece * swarm::kPieceSize);
  return Bytes{static_cast<std::int64_t>(size)};
}

Leaning leaning_of(const StateDirectory& state, const LayerFiles& layer) {
  Standing standing(state, layer);
  Leaning leaning{.unneeded = {}, .upon = {}, .packs = {}, .update = standing.update()};
  std::uint64_t saved = 0;
  std::set<PackId> own;
  std::vector<LayerId> found;
  const auto lean_on = [&](const LayerId& base) {
    if (base != format::kNoLayer && leaning.upon.insert(base).second) found.push_back(base);
  };
  // What was rebuilt is read beside the packs.
  const auto add_rebuilt = [&](const LayerId& of) {
    const Rebuilt* const made = standing.rebuilt(of);
    if (made == nullptr || made->packs.empty()) return;
    lean_on(made->base);
    leaning.packs.insert(leaning.packs.end(), made->packs.begin(), made->packs.end());
  };
  for (const format::DistributedPack& pack : layer.packs) {
    own.insert(pack.id);
    if (!pack.update_from.empty()) {
      const bool is_taken = leaning.update && names(pack.update_from, *leaning.update);
      if (is_taken || std::ranges::any_of(layer.updates_for_site, [&](const LayerId& base) {
            return names(pack.update_from, base);
          }))
        leaning.packs.push_back(pack);
      else
        leaning.unneeded.insert(pack.id);
      continue;
    }
    const auto base = layer.is_for_site ? std::nullopt : standing.base_of(layer.layer, pack);
    if (base) {
      leaning.unneeded.insert(pack.id);
      saved += pack.size;
      lean_on(*base);
    } else if (const PackPart* const part = standing.part_of(pack)) {
      const auto& pieces = leaning.partly[pack.id] = pieces_of(*part, pack.size);
      saved += pack.size - static_cast<std::uint64_t>(size_of(pieces, pack.size).count);
      lean_on(layer.rebuilt.at(layer.layer).base);
      leaning.is_fresh = true;
    } else {
      leaning.packs.push_back(pack);
      leaning.is_fresh =
          leaning.is_fresh || (!format::is_for_everyone(pack) && !standing.is_whole(pack));
    }
  }
  if (!layer.is_for_site) {
    add_rebuilt(layer.layer);
    leaning.awaits_site = standing.awaits(layer.layer);
  }
  std::uint64_t more = 0;  // Bytes that stay here for it.
  while (!found.empty()) {
    const LayerId of = found.back();
    found.pop_back();
    const auto packs = layer.bases.find(of);
    if (packs == layer.bases.end()) continue;
    add_rebuilt(of);
    for (const format::DistributedPack& pack : packs->second) {
      if (!pack.update_from.empty()) continue;
      if (const auto next = standing.base_of(of, pack)) {
        lean_on(*next);
        continue;
      }
      leaning.packs.push_back(pack);
      if (own.insert(pack.id).second) more += pack.size;
    }
  }
  if (more / kKeptForSaved <= saved) return leaning;
  LayerFiles alone = layer;
  alone.is_for_site = true;
  return leaning_of(state, alone);
}

Bytes LayerFiles::size() const {
  Bytes sum;
  for (const format::DistributedPack& pack : packs)
    if (pack.update_from.empty()) sum += Bytes{static_cast<std::int64_t>(pack.size)};
  return sum;
}

Packs LayerFiles::all_packs() const {
  Packs all = packs;
  if (const auto made = rebuilt.find(layer); made != rebuilt.end())
    all.insert(all.end(), made->second.packs.begin(), made->second.packs.end());
  return all;
}

Result<LayerFiles> check_layer(const LayerId& layer, const LayerEnvelopes& envelopes,
                               const TrustedKeys& keys) {
  auto opened = format::open_layer(layer, envelopes, keys.publishers, keys.target);
  if (!opened) return fail(std::move(opened.error()));
  auto content = swarm::read_torrent(envelopes.torrent);
  if (content && content->id != opened->distribution.torrent)
    content = fail(ErrorKind::invalid, "the torrent is " + content->id.short_hex() +
                                           ", the distribution says " +
                                           opened->distribution.torrent.short_hex());
  if (!content) return fail(std::move(content.error()).in("layer " + layer.short_hex()));
  return LayerFiles{.layer = layer,
                    .name = opened->record.name + ' ' + opened->record.version,
                    .torrent = envelopes.torrent,
                    .torrent_id = content->id,
                    .packs = std::move(opened->distribution.packs)};
}

Result<LayerFiles> load_layer(const StateDirectory& state, const LayerId& layer,
                              const TrustedKeys& keys) {
  auto envelopes = read_layer(state, layer, keys);
  if (!envelopes) return fail(std::move(envelopes.error()));
  auto files = check_layer(layer, *envelopes, keys);
  if (files) find_bases(state, keys, *files);
  return files;
}

Result<LayerEnvelopes> read_layer(const StateDirectory& state, const LayerId& layer,
                                  const TrustedKeys& keys) {
  auto record = os::read_file(record_path(state, layer, "layer"), format::kRecordMax);
  if (!record) return fail(std::move(record.error()));
  auto envelope = os::read_file(record_path(state, layer, "distribution"), format::kRecordMax);
  if (!envelope) return fail(std::move(envelope.error()));
  auto distribution = format::open_distribution(layer, *envelope, keys.target);
  if (!distribution) return fail(std::move(distribution.error()));
  auto torrent = os::read_file(torrent_path(state, distribution->torrent), swarm::kTorrentBytesMax);
  if (!torrent) return fail(std::move(torrent.error()));
  return LayerEnvelopes{std::move(*record), std::move(*envelope), std::move(*torrent)};
}

Result<Buffer> read_envelope(const StateDirectory& state, const LayerId& layer,
                             const std::string& part, const TrustedKeys& keys) {
  if (part == "record")
    return os::read_file(record_path(state, layer, "layer"), format::kRecordMax);
  if (part == "distribution")
    return os::read_file(record_path(state, layer, "distribution"), format::kRecordMax);
  if (part != "torrent") return fail(ErrorKind::not_found, "a layer has no such part");
  auto files = load_layer(state, layer, keys);
  if (!files) return fail(std::move(files.error()));
  return std::move(files->torrent);
}

Status keep_layer(const StateDirectory& state, const LayerId& layer,
                  const LayerEnvelopes& envelopes, const TrustedKeys& keys) {
  auto next = format::open_distribution(layer, envelopes.distribution, keys.target);
  if (!next) return fail(std::move(next.error()));
  if (auto kept = os::read_file(record_path(state, layer, "distribution"), format::kRecordMax))
    if (const auto before = format::open_distribution(layer, *kept, keys.target);
        before && before->sequence > next->sequence)
      return fail(ErrorKind::refused,
                  "layer " + layer.short_hex() + ": the distribution has sequence " +
                      std::to_string(next->sequence) + ", but " + std::to_string(before->sequence) +
                      " was seen already: an old one was replayed");
  auto content = swarm::read_torrent(envelopes.torrent);
  if (!content) return fail(std::move(content.error()));
  if (auto done = os::write_file(torrent_path(state, content->id), envelopes.torrent); !done)
    return done;
  if (auto done = os::write_file(record_path(state, layer, "layer"), envelopes.record); !done)
    return done;
  return os::write_file(record_path(state, layer, "distribution"), envelopes.distribution);
}

Result<std::vector<LayerId>> recorded_layers(const StateDirectory& state) {
  constexpr std::string_view kEnd = ".layer";
  auto names = os::list_directory(state.records());
  if (!names) return fail(std::move(names.error()));
  std::vector<LayerId> ids;
  for (const std::string& name : *names)
    if (name.ends_with(kEnd))
      if (auto id = LayerId::parse(name.substr(0, name.size() - kEnd.size()))) ids.push_back(*id);
  return ids;
}

Status forget_layer(const StateDirectory& state, const LayerId& layer) {
  for (const char* kind : {"layer", "rebuilt"})
    if (auto done = remove_if_there(record_path(state, layer, kind)); !done) return done;
  return remove_if_there(record_path(state, layer, "distribution"));
}

bool is_here(const StateDirectory& state, const LayerFiles& layer) {
  return missing_bytes(state, layer).count == 0 && !leaning_of(state, layer).awaits_site;
}

Packs replaced_packs(const LayerFiles& layer, const LayerId& base) {
  Packs packs;
  for (const format::DistributedPack& pack : layer.packs)
    if (names(pack.unless_updated, base)) packs.push_back(pack);
  return packs;
}

Bytes missing_packs(const StateDirectory& state, const LayerFiles& layer, const Leaning& leaning) {
  Bytes missing;
  for (const format::DistributedPack& pack : layer.packs)
    if (!leaning.unneeded.contains(pack.id) && !leaning.partly.contains(pack.id) &&
        !swarm::is_whole(state.cache(), pack.id, pack.size))
      missing += Bytes{static_cast<std::int64_t>(pack.size)};
  return missing;
}

Bytes missing_bytes(const StateDirectory& state, const LayerFiles& layer) {
  const Leaning leaning = leaning_of(state, layer);
  Bytes missing = missing_packs(state, layer, leaning);
  for (const format::DistributedPack& pack : layer.packs)
    if (const auto part = leaning.partly.find(pack.id); part != leaning.partly.end())
      missing += size_of(part->second, pack.size);
  return missing;
}

Result<Bytes> cache_size(const StateDirectory& state) {
  auto names = os::list_directory(state.packs());
  if (!names) return fail(std::move(names.error()));
  Bytes size;
  for (const std::string& name : *names) {
    struct stat facts {};
    // One that was removed since takes nothing.
    if (::stat((state.packs() + '/' + name).c_str(), &facts) == 0)
      size += Bytes{std::int64_t{facts.st_blocks} * 512};
  }
  return size;
}

Result<std::size_t> forget_damaged_packs(const StateDirectory& state, const LayerFiles& layer) {
  std::size_t damaged = 0;
  for (const format::DistributedPack& pack : leaning_of(state, layer).packs) {
    if (swarm::is_whole(state.cache(), pack.id, pack.size) &&
        swarm::finish_pack(state.cache(), pack.id, pack.size))
      continue;
    ++damaged;
    if (auto done = swarm::forget_pack(state.cache(), pack.id);
        !done && done.error().kind() != ErrorKind::not_found)
      return fail(std::move(done.error()));
    if (auto done = remove_if_there(state.packs() + '/' + pack.id.hex()); !done)
      return fail(std::move(done.error()));
  }
  return damaged;
}

Result<PackCheck> verify_packs(const StateDirectory& state, const std::vector<LayerFiles>& layers) {
  PackCheck check;
  auto cache = PackFiles::open(state.cache(), PackFiles::Access::read);
  if (!cache) return fail(std::move(cache.error()));
  std::set<PackId> seen;
  for (const LayerFiles& layer : layers)
    for (const format::DistributedPack& pack : layer.all_packs()) {
      if (!seen.insert(pack.id).second || !swarm::is_whole(state.cache(), pack.id, pack.size))
        continue;
      ++check.packs;
      check.read += Bytes{static_cast<std::int64_t>(pack.size)};
      auto look = look_at_pack(*cache, pack.id);
      if (!look) return fail(std::move(look.error()));
      if (look->state == PackLook::State::sound && !look->are_hashes_wrong) continue;
      if (look->state == PackLook::State::sound) {
        if (auto done = swarm::finish_pack(state.cache(), pack.id, pack.size); !done)
          return fail(std::move(done.error()));
        continue;
      }
      check.damaged.insert(pack.id);
      for (const std::string& path :
           {state.trees() + '/' + pack.id.hex(), state.packs() + '/' + pack.id.hex()})
        if (auto gone = remove_if_there(path); !gone) return fail(std::move(gone.error()));
    }
  return check;
}

Result<Bytes> remove_others(const StateDirectory& state, const std::vector<LayerFiles>& layers,
                            bool unfinished) {
  std::set<std::string> records{"target"};
  std::set<std::string> torrents;
  std::set<std::string> packs;
  for (const LayerFiles& layer : layers) {
    records.insert(layer.layer.hex() + ".layer");
    records.insert(layer.layer.hex() + ".distribution");
    torrents.insert(layer.torrent_id.hex() + ".torrent");
    for (const format::DistributedPack& pack : layer.all_packs()) packs.insert(pack.id.hex());
    if (layer.rebuilt.contains(layer.layer)) records.insert(layer.layer.hex() + ".rebuilt");
  }
  if (!unfinished) {
    auto present = os::list_directory(state.packs());
    if (!present) return fail(std::move(present.error()));
    for (const std::string& name : *present)
      if (!os::exists(state.trees() + '/' + name)) packs.insert(name);
  }
  Bytes freed;
  // Trees first: a pack without one counts as missing.
  const std::pair<std::string, const std::set<std::string>*> places[] = {
      {state.records(), &records},
      {state.torrents(), &torrents},
      {state.trees(), &packs},
      {state.packs(), &packs}};
  for (const auto& [directory, keep] : places)
    if (auto done = remove_except(directory, *keep, freed); !done)
      return fail(std::move(done.error()));
  return freed;
}

}  // namespace lamina::node
