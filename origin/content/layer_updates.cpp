#include "origin/content/layer_updates.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <tuple>

#include "shared/base/log.hpp"
#include "shared/format/needed_packs.hpp"
#include "shared/os/memory.hpp"
#include "shared/update/make_update.hpp"
#include "shared/update/programs.hpp"

namespace lamina::origin {
namespace {

// An update that is not smaller than so much of what it stands for is not worth the processor time
// of those who would take it; nor is one from nothing, which everybody takes once.
struct Share {
  std::uint64_t numerator, denominator;
};
constexpr Share kWorth{4, 5}, kWorthFromNothing{9, 10};
// A device writes what it takes an update from, and what comes out of it: with less than this to
// save from nothing it is not worth that, and of layers that small nothing is tried.
constexpr std::uint64_t kFromNothingSaves = std::uint64_t{1} << 20;
constexpr std::uint64_t kFromNothingLeast = 2 * kFromNothingSaves;
// Two groups of a large file and its predecessor take 1.5 GB.
constexpr unsigned kThreadsMax = 2;

bool holds(const std::vector<LayerId>& layers, const LayerId& layer) {
  return std::ranges::find(layers, layer) != layers.end();
}

// A layer's whole content is several times what changed of it: LZMA2 for all of it is more
// processor time than a publisher waits for.
delta::Effort effort_from_nothing(delta::Effort effort) {
  return effort == delta::Effort::high ? delta::Effort::standard : effort;
}

class Adding {
 public:
  Adding(ChunkStore& store, const std::string& temporary, const LayerPacks& layer,
         const format::ManifestRef& manifest, delta::Effort effort,
         const std::function<bool()>& is_stopping, std::vector<format::DistributedPack>& packs)
      : store_(store),
        temporary_(temporary),
        layer_(layer),
        manifest_(manifest),
        effort_(effort),
        is_stopping_(is_stopping),
        packs_(packs),
        by_pack_(layer.chunks_by_pack()) {}

  Status add(const Published& base) {
    const std::string from = is_nothing(base) ? "nothing" : base.name + ' ' + base.version;
    if (auto done = make(base); !done)
      return fail(Error(done.error()).in("the update from " + from));
    return Done{};
  }

  std::vector<LayerUpdate> finish() {
    for (auto& [id, pack] : added_) packs_.push_back(std::move(pack));
    for (format::DistributedPack& pack : packs_) {
      std::ranges::sort(pack.unless_updated);
      std::ranges::sort(pack.update_from);
    }
    std::ranges::sort(packs_, {}, [](const format::DistributedPack& pack) {
      return std::tuple(!pack.is_metadata, pack.id);
    });
    return std::move(updates_);
  }

 private:
  static bool is_nothing(const Published& base) { return base.layer == format::kNoLayer; }

  Status make(const Published& base) {
    const bool from_nothing = is_nothing(base);
    if (from_nothing && !may_be_worth_from_nothing()) return Done{};
    auto directory = os::TemporaryDirectory::make(temporary_, "update-");
    if (!directory) return fail(std::move(directory.error()));
    auto files = PackFiles::open(directory->path(), PackFiles::Access::spool);
    if (!files) return fail(std::move(files.error()));
    // It needs a GB and more for minutes, once a month: not on top of what captures left.
    std::optional<os::FreedMemoryReturned> returned(std::in_place);
    auto made = update::make_update(
        from_nothing ? std::nullopt : std::optional(base.manifest), manifest_, store_.source(),
        [&](const ChunkId& id) { return layer_.pack_of(id); }, *files,
        {.encoding = {.effort = from_nothing ? effort_from_nothing(effort_) : effort_,
                      .threads = std::clamp(std::thread::hardware_concurrency(), 1U, kThreadsMax),
                      .programs = update::machine_programs(),
                      .is_stopping = is_stopping_}});
    returned.reset();
    if (!made) {
      const ErrorKind kind = made.error().kind();
      if (from_nothing || kind == ErrorKind::unavailable || kind == ErrorKind::out_of_space)
        return fail(std::move(made.error()));
      // An earlier layer that cannot be read is no reason to keep a new one back.
      log::warning("update_not_made", {{"from", base.layer}, {"error", made.error().text()}});
      return Done{};
    }

    std::set<ChunkId> had = std::move(made->covered);
    if (!from_nothing) {
      auto looked = format::for_each_chunk(base.manifest, store_.source(),
                                           [&](const format::ChunkRef& ref, bool) -> Status {
                                             had.insert(ref.id);
                                             return Done{};
                                           });
      if (!looked) return looked;
    }
    std::set<PackId> covered;  // That the base alone does not stand for.
    std::uint64_t instead_of = 0;
    std::uint64_t needed = made->bytes();
    for (const format::DistributedPack& pack : packs_) {
      if (stands_for(base, pack)) continue;
      const auto chunks = by_pack_.find(pack.id);
      if (chunks != by_pack_.end() && std::ranges::all_of(chunks->second, [&](const ChunkId& id) {
            return had.contains(id);
          })) {
        covered.insert(pack.id);
        instead_of += pack.size;
      } else {
        needed += pack.size;
      }
    }
    if (!is_worth(from_nothing, made->bytes(), instead_of)) return Done{};
    for (format::DistributedPack& pack : packs_)
      if (covered.contains(pack.id)) pack.unless_updated.push_back(base.layer);
    for (const update::MadeUpdate::Pack& pack : made->packs) {
      auto taken = store_.take_in(files->path_of(pack.id), pack.id);
      if (!taken) return fail(std::move(taken.error()));
      auto& entry = added_[pack.id];
      entry.id = pack.id;
      entry.size = pack.size;
      entry.is_metadata = entry.is_metadata || pack.is_metadata;
      entry.update_from.push_back(base.layer);
    }
    updates_.push_back({base.layer, base.version, Bytes{static_cast<std::int64_t>(needed)}});
    return Done{};
  }

  static bool stands_for(const Published& base, const format::DistributedPack& pack) {
    if (holds(pack.unless, base.layer)) return true;
    const auto there = std::ranges::find(base.packs, pack.id, &format::DistributedPack::id);
    return there != base.packs.end() && format::is_for_everyone(*there);
  }

  bool may_be_worth_from_nothing() const {
    std::uint64_t bytes = 0;
    for (const format::DistributedPack& pack : packs_) bytes += pack.size;
    return bytes >= kFromNothingLeast;
  }
  static bool is_worth(bool from_nothing, std::uint64_t bytes, std::uint64_t instead_of) {
    const Share most = from_nothing ? kWorthFromNothing : kWorth;
    if (bytes * most.denominator >= instead_of * most.numerator) return false;
    return !from_nothing || instead_of - bytes >= kFromNothingSaves;
  }

  ChunkStore& store_;
  const std::string& temporary_;
  const LayerPacks& layer_;
  const format::ManifestRef& manifest_;
  const delta::Effort effort_;
  const std::function<bool()>& is_stopping_;
  std::vector<format::DistributedPack>& packs_;
  const std::map<PackId, std::vector<ChunkId>> by_pack_;
  std::map<PackId, format::DistributedPack> added_;
  std::vector<LayerUpdate> updates_;
};

}  // namespace

Result<std::vector<LayerUpdate>> add_updates(
    ChunkStore& store, const std::string& temporary, const LayerPacks& layer,
    const format::ManifestRef& manifest, const std::vector<Published>& bases, delta::Effort effort,
    const std::function<bool()>& is_stopping, std::vector<format::DistributedPack>& packs) {
  Adding adding(store, temporary, layer, manifest, effort, is_stopping, packs);
  for (const Published& base : bases)
    if (auto done = adding.add(base); !done) return fail(std::move(done.error()));
  return adding.finish();
}

}  // namespace lamina::origin
