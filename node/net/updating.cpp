#include "node/net/updating.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "shared/base/log.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/os/file.hpp"
#include "shared/store/pack_part.hpp"
#include "shared/update/programs.hpp"
#include "shared/update/take_update.hpp"

namespace lamina::node {

// What the work in the pool leaves: packs in the working directory, and what is remembered once
// they are among the layer's.
struct UpdateOutcome {
  std::vector<format::DistributedPack> packs;
  Rebuilt rebuilt;
  std::vector<std::string> troubles;
};

namespace {

using Outcome = UpdateOutcome;

using update::TakenUpdate;

std::string working_directory(const StateDirectory& state) { return state.cache() + "/updating"; }

// A pack of which so much is needed is fetched whole...
constexpr std::int64_t kPartMostPercent = 75;
// ...and one of whose content so many times its size is: m: 2.5 times is what packs of Debian have.
constexpr std::uint64_t kPlainMost = 2;
// So that what is remembered of an update keeps within format::kRecordMax.
constexpr std::size_t kPartChunksMax = 16 * 1024;

bool may_help_later(const Error& error) {
  return error.kind() == ErrorKind::out_of_space || error.kind() == ErrorKind::unavailable;
}

Result<TakenUpdate> take_update_of(const StateDirectory& state, const TrustedKeys& keys,
                                   const LayerFiles& layer, const LayerId& base,
                                   bool leaves_costly) {
  auto next = read_record(state, layer.layer, keys);
  if (!next) return fail(std::move(next.error()));
  PackSet set;
  std::optional<format::ManifestRef> old_manifest;
  if (base != format::kNoLayer) {
    auto old = read_record(state, base, keys);
    if (!old) return fail(std::move(old.error()));
    old_manifest = std::move(old->manifest);
    std::map<LayerId, bool> added;
    if (auto done = add_packs(state, base, keys, set, added); !done)
      return fail(std::move(done.error()));
  }
  set.seal();
  update::TakeOrder order{.old = std::move(old_manifest),
                          .next = std::move(next->manifest),
                          .source = set.source(),
                          .metadata_packs = {},
                          .packs = {},
                          .directory = working_directory(state),
                          .programs = update::machine_programs(),
                          .leaves_costly = leaves_costly};
  for (const format::DistributedPack& pack : layer.packs)
    if (std::ranges::find(pack.update_from, base) != pack.update_from.end())
      (pack.is_metadata ? order.metadata_packs : order.packs)
          .push_back(state.packs() + '/' + pack.id.hex());
  return update::take_update(order);
}

// The packs in the working directory.
Result<std::vector<format::DistributedPack>> made_packs(const StateDirectory& state) {
  auto files = PackFiles::open(working_directory(state), PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  auto ids = files->list();
  if (!ids) return fail(std::move(ids.error()));
  std::vector<format::DistributedPack> packs;
  for (const PackId& id : *ids) {
    auto size = files->size_of(id);
    if (!size) return fail(std::move(size.error()));
    packs.push_back({.id = id, .size = *size});
  }
  return packs;
}

Status empty_working_directory(const StateDirectory& state) {
  const std::string directory = working_directory(state);
  if (auto done = os::remove_tree(directory); !done && done.error().kind() != ErrorKind::not_found)
    return done;
  return os::make_directories(directory);
}

// What is needed when nothing comes out of the update.
std::set<PackId> all_lacking(const LayerFiles& layer, const LayerId& base) {
  std::set<PackId> packs;
  for (const format::DistributedPack& pack : replaced_packs(layer, base)) packs.insert(pack.id);
  return packs;
}

std::uint64_t size_in(const LayerFiles& layer, const PackId& id) {
  const auto pack = std::ranges::find(layer.packs, id, &format::DistributedPack::id);
  return pack == layer.packs.end() ? 0 : pack->size;
}

bool is_hardly_less(const PackPart& part, std::uint64_t pack_size) {
  return size_of(pieces_of(part, pack_size), pack_size).count * 100 >=
         static_cast<std::int64_t>(pack_size) * kPartMostPercent;
}

// What the update did not give is looked for in parts of packs.
void plan_parts(const LayerFiles& layer, const TakenUpdate& taken, Rebuilt& rebuilt) {
  std::size_t chunks = 0;
  for (const auto& [id, lacking] : taken.lacking) {
    const std::uint64_t size = size_in(layer, id);
    PackPart part = make_part(lacking.chunks, size);
    chunks += lacking.chunks.size();
    if (chunks > kPartChunksMax || lacking.bytes > kPlainMost * size || is_hardly_less(part, size))
      rebuilt.lacking.insert(id);
    else
      rebuilt.parts.emplace(id, std::move(part));
  }
}

Result<Outcome> take_whole_update(const StateDirectory& state, const TrustedKeys& keys,
                                  const LayerFiles& layer, const LayerId& base,
                                  std::int64_t started_ms, bool leaves_costly) {
  if (auto done = empty_working_directory(state); !done) return fail(std::move(done.error()));
  Outcome outcome;
  outcome.rebuilt.base = base;
  outcome.rebuilt.figures.started_ms = started_ms;
  auto taken = take_update_of(state, keys, layer, base, leaves_costly);
  if (taken && taken->left.size() > kPartChunksMax)
    return take_whole_update(state, keys, layer, base, started_ms, /*leaves_costly=*/false);
  if (!taken) {
    if (may_help_later(taken.error())) return fail(std::move(taken.error()));
    outcome.rebuilt.lacking = all_lacking(layer, base);
    outcome.troubles = {taken.error().text()};
    return outcome;
  }
  auto packs = made_packs(state);
  if (!packs) return fail(std::move(packs.error()));
  outcome.packs = std::move(*packs);
  outcome.troubles = std::move(taken->troubles);
  Rebuilt& rebuilt = outcome.rebuilt;
  rebuilt.packs = outcome.packs;
  rebuilt.figures.chunks = taken->chunks;
  rebuilt.figures.bytes = taken->bytes;
  rebuilt.figures.lacking_chunks = taken->lacking_chunks;
  rebuilt.awaited = std::move(taken->left);
  rebuilt.costly = std::move(taken->costly);
  plan_parts(layer, *taken, rebuilt);
  return outcome;
}

Result<Outcome> take_whole_parts(const StateDirectory& state, const LayerFiles& layer) {
  if (auto done = empty_working_directory(state); !done) return fail(std::move(done.error()));
  auto files = PackFiles::open(working_directory(state), PackFiles::Access::write);
  if (!files) return fail(std::move(files.error()));
  PackWriter writer(*files, {}, [](const format::PackSummary&) -> Status { return Done{}; });
  Outcome outcome;
  Rebuilt& rebuilt = outcome.rebuilt = layer.rebuilt.at(layer.layer);
  for (auto& [id, part] : std::exchange(rebuilt.parts, {})) {
    const std::uint64_t size = size_in(layer, id);
    if (swarm::is_whole(state.cache(), id, size)) continue;
    auto taken = take_part(state.packs() + '/' + id.hex(), size, part, writer);
    if (taken && *taken) {
      rebuilt.figures.fallback_bytes +=
          static_cast<std::uint64_t>(size_of(pieces_of(part, size), size).count);
    } else if (taken && !is_hardly_less(part, size)) {
      rebuilt.parts.emplace(id, std::move(part));
    } else if (taken || !may_help_later(taken.error())) {
      rebuilt.lacking.insert(id);
      if (!taken) outcome.troubles.push_back(taken.error().text());
    } else {
      return fail(std::move(taken.error()));
    }
  }
  if (auto done = writer.finish(); !done) return fail(std::move(done.error()));
  auto packs = made_packs(state);
  if (!packs) return fail(std::move(packs.error()));
  outcome.packs = std::move(*packs);
  rebuilt.packs.insert(rebuilt.packs.end(), outcome.packs.begin(), outcome.packs.end());
  return outcome;
}

// What another device made, of which nothing is believed: the chunks have the right digests.
Result<Outcome> take_given(const StateDirectory& state, const LayerFiles& layer,
                           const std::vector<std::string>& paths) {
  if (auto done = empty_working_directory(state); !done) return fail(std::move(done.error()));
  auto files = PackFiles::open(working_directory(state), PackFiles::Access::write);
  if (!files) return fail(std::move(files.error()));
  PackWriter writer(*files, {}, [](const format::PackSummary&) -> Status { return Done{}; });
  Outcome outcome;
  Rebuilt& rebuilt = outcome.rebuilt = layer.rebuilt.at(layer.layer);
  for (const std::string& path : paths) {
    auto pack = OpenPack::open(path, path);
    if (!pack) return fail(std::move(pack.error()));
    PackPart part{.chunks = {}, .ranges = {{0, pack->size()}}};
    for (const format::Frame& frame : pack->index().frames)
      for (const format::ChunkRef& chunk : frame.chunks)
        if (rebuilt.awaited.contains(chunk.id)) part.chunks.insert(chunk.id);
    if (part.chunks.empty()) continue;
    if (auto taken = take_part(path, pack->size(), part, writer); !taken)
      return fail(std::move(taken.error()));
    for (const ChunkId& id : part.chunks) rebuilt.awaited.erase(id);
    rebuilt.figures.chunks += part.chunks.size();
  }
  if (!rebuilt.awaited.empty())
    return fail(ErrorKind::corrupt, std::to_string(rebuilt.awaited.size()) +
                                        " chunks are not in what another device gave");
  if (auto done = writer.finish(); !done) return fail(std::move(done.error()));
  auto packs = made_packs(state);
  if (!packs) return fail(std::move(packs.error()));
  outcome.packs = std::move(*packs);
  for (const format::DistributedPack& pack : outcome.packs) {
    rebuilt.packs.push_back(pack);
    rebuilt.costly.insert(pack.id);  // Others may have it from here.
  }
  return outcome;
}

// Puts what came out among the packs; quick, and on the loop, where nobody cleans up meanwhile.
Status settle(const StateDirectory& state, const LayerId& layer, const Outcome& outcome) {
  const std::string from = working_directory(state);
  for (const format::DistributedPack& pack : outcome.packs) {
    // The tree last: with it the pack is whole.
    const std::string name = '/' + pack.id.hex();
    if (auto done = os::rename_file(from + "/packs" + name, state.packs() + name); !done)
      return done;
    if (auto done = os::rename_file(from + "/trees" + name, state.trees() + name); !done)
      return done;
  }
  return write_rebuilt(state, layer, outcome.rebuilt);
}

Updated figures_of(const LayerFiles& layer, const Rebuilt& rebuilt) {
  const Rebuilt::Figures& figures = rebuilt.figures;
  Updated updated{.layer = layer.layer,
                  .base = rebuilt.base,
                  .started_ms = figures.started_ms,
                  .chunks = figures.chunks,
                  .bytes = Bytes{static_cast<std::int64_t>(figures.bytes)},
                  .fallback_chunks = figures.lacking_chunks,
                  .fallback = Bytes{static_cast<std::int64_t>(figures.fallback_bytes)},
                  .awaits = rebuilt.awaited.size()};
  for (const format::DistributedPack& pack : layer.packs) {
    const Bytes size{static_cast<std::int64_t>(pack.size)};
    if (std::ranges::find(pack.update_from, rebuilt.base) != pack.update_from.end())
      updated.fetched += size;
    if (rebuilt.lacking.contains(pack.id)) updated.fallback += size;
    if (const auto part = rebuilt.parts.find(pack.id); part != rebuilt.parts.end())
      updated.waits_for += size_of(pieces_of(part->second, pack.size), pack.size);
  }
  return updated;
}

}  // namespace

std::shared_ptr<Updating> Updating::open(net::Loop& loop, const StateDirectory& state,
                                         const TrustedKeys& keys) {
  if (auto done = os::remove_tree(working_directory(state));
      !done && done.error().kind() != ErrorKind::not_found)
    log::warning("update_leftovers", {{"error", done.error().text()}});
  return std::shared_ptr<Updating>(new Updating(loop, state, keys));
}

bool Updating::is_taking(const LayerId& layer) const {
  return std::ranges::any_of(jobs_, [&](const Job& job) { return job.layer.layer == layer; });
}

Status Updating::give_up(const LayerFiles& layer, const LayerId& base) const {
  return write_rebuilt(state_, layer.layer, {base, {}, all_lacking(layer, base)});
}

void Updating::take(const LayerFiles& layer, const LayerId& base, std::int64_t started_ms,
                    bool leaves_costly, Then then) {
  add({layer,
       [state = state_, keys = keys_, layer, base, started_ms, leaves_costly] {
         return take_whole_update(state, keys, layer, base, started_ms, leaves_costly);
       },
       std::move(then)});
}

void Updating::take_parts(const LayerFiles& layer, Then then) {
  add({layer, [state = state_, layer] { return take_whole_parts(state, layer); }, std::move(then)});
}

void Updating::take_from_site(const LayerFiles& layer, std::vector<std::string> packs, Then then) {
  add({layer,
       [state = state_, layer, packs = std::move(packs)] {
         return take_given(state, layer, packs);
       },
       std::move(then)});
}

void Updating::add(Job job) {
  jobs_.push_back(std::move(job));
  if (jobs_.size() == 1) next();
}

void Updating::next() {
  loop_.offload_value(jobs_.front().work, [weak = weak_from_this()](Result<Outcome> outcome) {
    const auto self = weak.lock();
    if (!self) return;
    const Job done = std::move(self->jobs_.front());
    self->jobs_.pop_front();
    const Status settled =
        outcome ? settle(self->state_, done.layer.layer, *outcome) : Status(fail(outcome.error()));
    // The next one empties the working directory, out of which this one came.
    if (!self->jobs_.empty()) self->next();
    if (!settled) return done.then(fail(settled.error()));
    Updated updated = figures_of(done.layer, outcome->rebuilt);
    auto& troubles = self->troubles_[done.layer.layer];
    std::ranges::move(outcome->troubles, std::back_inserter(troubles));
    updated.troubles = troubles;
    if (updated.waits_for.count == 0 && updated.awaits == 0)
      self->troubles_.erase(done.layer.layer);
    done.then(std::move(updated));
  });
}

}  // namespace lamina::node
