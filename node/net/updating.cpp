#include "node/net/updating.hpp"

#include <algorithm>

#include "shared/base/log.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/os/file.hpp"
#include "shared/update/programs.hpp"
#include "shared/update/take_update.hpp"

namespace lamina::node {
namespace {

using update::TakenUpdate;

std::string working_directory(const StateDirectory& state) { return state.cache() + "/updating"; }

// What comes out, in the working directory.
struct Taken {
  TakenUpdate update;
  std::vector<format::DistributedPack> packs;
};

bool may_help_later(const Error& error) {
  return error.kind() == ErrorKind::out_of_space || error.kind() == ErrorKind::unavailable;
}

Result<Taken> take_update_of(const StateDirectory& state, const TrustedKeys& keys,
                             const LayerFiles& layer, const LayerId& base) {
  const std::string directory = working_directory(state);
  if (auto done = os::remove_tree(directory); !done && done.error().kind() != ErrorKind::not_found)
    return fail(std::move(done.error()));
  if (auto done = os::make_directories(directory); !done) return fail(std::move(done.error()));
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
                          .directory = directory,
                          .programs = update::machine_programs()};
  for (const format::DistributedPack& pack : layer.packs)
    if (std::ranges::find(pack.update_from, base) != pack.update_from.end())
      (pack.is_metadata ? order.metadata_packs : order.packs)
          .push_back(state.packs() + '/' + pack.id.hex());
  auto taken = update::take_update(order);
  if (!taken) return fail(std::move(taken.error()));
  auto files = PackFiles::open(directory, PackFiles::Access::read);
  if (!files) return fail(std::move(files.error()));
  auto packs = files->list();
  if (!packs) return fail(std::move(packs.error()));
  Taken result{std::move(*taken), {}};
  for (const PackId& id : *packs) {
    auto size = files->size_of(id);
    if (!size) return fail(std::move(size.error()));
    result.packs.push_back({.id = id, .size = *size});
  }
  return result;
}

// What is needed when nothing comes out of the update.
std::set<PackId> all_lacking(const LayerFiles& layer, const LayerId& base) {
  std::set<PackId> packs;
  for (const format::DistributedPack& pack : replaced_packs(layer, base)) packs.insert(pack.id);
  return packs;
}

// Puts what came out among the packs; quick, and on the loop, where nobody cleans up meanwhile.
Status settle(const StateDirectory& state, const LayerId& layer, const LayerId& base,
              const Taken& taken) {
  const std::string from = working_directory(state);
  for (const format::DistributedPack& pack : taken.packs) {
    // The tree last: with it the pack is whole.
    const std::string name = '/' + pack.id.hex();
    if (auto done = os::rename_file(from + "/packs" + name, state.packs() + name); !done)
      return done;
    if (auto done = os::rename_file(from + "/trees" + name, state.trees() + name); !done)
      return done;
  }
  return write_rebuilt(state, layer, {base, taken.packs, taken.update.lacking_packs});
}

Updated figures_of(const LayerFiles& layer, const LayerId& base, const TakenUpdate& taken) {
  Updated updated{.layer = layer.layer,
                  .base = base,
                  .chunks = taken.chunks,
                  .bytes = Bytes{static_cast<std::int64_t>(taken.bytes)},
                  .fallback_chunks = taken.lacking_chunks,
                  .troubles = taken.troubles};
  for (const format::DistributedPack& pack : layer.packs) {
    const Bytes size{static_cast<std::int64_t>(pack.size)};
    if (std::ranges::find(pack.update_from, base) != pack.update_from.end())
      updated.fetched += size;
    if (taken.lacking_packs.contains(pack.id)) updated.fallback += size;
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

void Updating::take(const LayerFiles& layer, const LayerId& base, Then then) {
  jobs_.push_back({layer, base, std::move(then)});
  if (jobs_.size() == 1) next();
}

void Updating::next() {
  const Job& job = jobs_.front();
  loop_.offload_value([state = state_, keys = keys_, layer = job.layer,
                       base = job.base] { return take_update_of(state, keys, layer, base); },
                      [weak = weak_from_this()](Result<Taken> taken) {
                        const auto self = weak.lock();
                        if (!self) return;
                        const Job done = std::move(self->jobs_.front());
                        self->jobs_.pop_front();
                        if (!taken && !may_help_later(taken.error())) {
                          Taken nothing;
                          nothing.update.lacking_packs = all_lacking(done.layer, done.base);
                          nothing.update.troubles = {taken.error().text()};
                          taken = std::move(nothing);
                        }
                        Status settled =
                            taken ? settle(self->state_, done.layer.layer, done.base, *taken)
                                  : Status(fail(taken.error()));
                        // The next one empties the working directory, out of which this one came.
                        if (!self->jobs_.empty()) self->next();
                        if (!settled) return done.then(fail(std::move(settled.error())));
                        done.then(figures_of(done.layer, done.base, taken->update));
                      });
}

}  // namespace lamina::node
