#include "origin/repair.hpp"

#include <map>
#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/journaled_table.hpp"
#include "origin/lost_chunks.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/user.hpp"
#include "shared/store/chunk_store.hpp"
#include "shared/store/store_check.hpp"

namespace lamina::origin {
namespace {

// What was taken from elsewhere.
struct Brought {
  std::map<std::string, std::uint64_t> packs;  // By space.
  std::vector<std::string> damaged;            // They are no help.
};

// What the catalogue needs and is not here.
struct Missing {
  std::set<ChunkId> chunks;
  std::set<PackId> packs;  // That layers name.
};

Result<Missing> find_missing(const DataDirectory& data) {
  Missing missing;
  auto table = JournaledTable::open(data.catalog(), data.journal());
  if (!table) return fail(std::move(table.error()));
  const Catalog catalog(**table);
  auto looked = for_each_lost(
      data, catalog, [&](const Catalog::ChunkNeed& need) { missing.chunks.insert(need.chunk); });
  if (!looked) return fail(std::move(looked.error()));
  auto packs = find_lost_packs(data, catalog);
  if (!packs) return fail(std::move(packs.error()));
  for (const auto& [pack, layers] : *packs) missing.packs.insert(pack);
  return missing;
}

bool helps(const PackFiles& files, const PackId& id, const Missing& missing) {
  if (missing.packs.contains(id)) return true;
  const auto pack = files.read(id);
  if (!pack) return false;  // If it was needed, what it had is still missing afterwards.
  for (const format::Frame& frame : pack->index().frames)
    for (const format::ChunkRef& chunk : frame.chunks)
      if (missing.chunks.contains(chunk.id)) return true;
  return false;
}

// Every pack is proven by its name, and every chunk by its own, before it is taken in.
Status bring_space(const std::string& name, const std::string& from, const std::string& to,
                   const Missing& missing, Brought& brought) {
  if (!os::exists(from + "/packs")) return Done{};
  auto there = PackFiles::open(from, PackFiles::Access::read);
  if (!there) return fail(std::move(there.error()));
  auto ids = there->list();
  if (!ids) return fail(std::move(ids.error()));
  auto store = ChunkStore::open(to);
  if (!store) return fail(std::move(store.error()));
  for (const PackId& id : *ids) {
    if ((*store)->files().has(id) || !helps(*there, id, missing)) continue;
    auto copy = (*store)->files().new_temporary();
    if (!copy) return fail(std::move(copy.error()));
    auto identity = copy_and_identify(there->path_of(id), *copy);
    auto taken = identity ? (*store)->take_in(*copy, id)
                          : Result<std::vector<ChunkId>>(fail(std::move(identity.error())));
    if (taken) {
      ++brought.packs[name];
      continue;
    }
    const os::TemporaryFile rest(*copy);
    if (taken.error().kind() != ErrorKind::corrupt) return fail(std::move(taken.error()));
    brought.damaged.push_back(name + "/packs/" + id.hex());
  }
  return Done{};
}

Result<Brought> bring(const DataDirectory& data, const std::string& from) {
  Brought brought{{{"layers", 0}, {"cvd", 0}}, {}};
  auto missing = find_missing(data);
  if (!missing) return fail(std::move(missing.error()));
  const DataDirectory other(from);
  for (const auto& [name, source, target] : {std::tuple("layers", other.layers(), data.layers()),
                                             std::tuple("cvd", other.cvds(), data.cvds())})
    if (auto done = bring_space(name, source, target, *missing, brought); !done)
      return fail(std::move(done.error()).in("taking packs from " + printable(from)));
  return brought;
}

// What devices sent that no pack has any more.
using Lost = std::map<DeviceId, std::vector<ChunkId>>;

Result<Lost> forget_lost(const DataDirectory& data, WallTime now) {
  auto table = JournaledTable::open(data.catalog(), data.journal());
  if (!table) return fail(std::move(table.error()));
  Catalog catalog(**table);
  Lost lost;
  auto looked = for_each_lost(data, catalog, [&](const Catalog::ChunkNeed& need) {
    if (need.device) lost[*need.device].push_back(need.chunk);
  });
  if (!looked) return fail(std::move(looked.error()));
  for (const auto& [device, chunks] : lost)
    if (auto done = catalog.unlink_chunks({"origin", now}, device, chunks); !done)
      return fail(std::move(done.error()));
  return lost;
}

nlohmann::json to_json(const StoreRepair& repair) {
  nlohmann::json unsound = nlohmann::json::array();
  for (const PackId& id : repair.unsound) unsound.push_back(id.hex());
  return {{"packs", repair.packs},        {"hashes_made", repair.hashes},
          {"unsound_packs", unsound},     {"index_was_broken", repair.index_was_broken},
          {"chunks_added", repair.added}, {"chunks_removed", repair.removed}};
}

void print(std::ostream& out, const std::string& name, const StoreRepair& repair) {
  out << name << std::string(10 - name.size(), ' ') << repair.packs << " packs, ";
  if (repair.index_was_broken)
    out << "a new index in place of a broken one";
  else
    out << repair.added << " chunks added to the index, " << repair.removed << " removed";
  if (repair.hashes > 0) out << ", block hashes of " << repair.hashes << " packs made anew";
  out << '\n';
  for (const PackId& id : repair.unsound)
    out << "  pack " << id.hex() << " has other bytes than its name says: it is in " << name
        << "/unsound now\n";
}

}  // namespace

Status run_repair(const DataDirectory& data, const RepairRequest& request, WallTime now,
                  std::ostream& out, lamina::cli::Progress& progress) {
  const bool as_json = request.as_json;
  if (auto is = check_is_origin(data); !is) return is;
  // What another user makes, `serve` could not open.
  if (auto own = os::check_owner(data.root()); !own) return own;
  if (!request.from.empty() && !os::exists(request.from + "/layers/packs") &&
      !os::exists(request.from + "/cvd/packs"))
    return fail(ErrorKind::not_found, printable(request.from) +
                                          " holds no packs: --from takes a backup or a seeder's "
                                          "data directory");
  nlohmann::json spaces = nlohmann::json::object();
  bool has_all = true;
  for (const auto& [name, directory] :
       {std::pair("layers", data.layers()), std::pair("cvd", data.cvds())}) {
    if (!os::exists(directory + "/packs")) {
      has_all = false;
      continue;
    }
    auto repair = repair_store(directory, [&](Bytes read, Bytes total) {
      progress.show(read, total, os::system_clock().now());
    });
    progress.clear();
    if (!repair) return fail(std::move(repair.error()));
    if (as_json)
      spaces[name] = to_json(*repair);
    else
      print(out, name, *repair);
  }
  // Nothing was ever taken in, or the catalogue is to be restored first.
  Lost lost;
  Brought brought;
  if (!request.from.empty() && has_all && os::exists(data.catalog() + "/data.mdb")) {
    auto took = bring(data, request.from);
    if (!took) return fail(std::move(took.error()));
    brought = std::move(*took);
    if (!as_json)
      out << "from      " << brought.packs["layers"] << " packs of layers and "
          << brought.packs["cvd"] << " of devices were taken from " << printable(request.from)
          << '\n';
    for (const std::string& name : brought.damaged)
      if (!as_json) out << "  " << name << " is damaged there, too\n";
  }
  if (has_all && os::exists(data.catalog() + "/data.mdb")) {
    auto forgotten = forget_lost(data, now);
    if (!forgotten) return fail(std::move(forgotten.error()));
    lost = std::move(*forgotten);
  }
  std::size_t chunks = 0;
  for (const auto& [device, ids] : lost) chunks += ids.size();
  if (as_json)
    out << nlohmann::json{{"repair",
                           {{"spaces", spaces},
                            {"packs_brought", brought.packs},
                            {"damaged_there", brought.damaged},
                            {"devices_to_send_again", lost.size()},
                            {"chunks_to_send_again", chunks}}}}
               .dump()
        << '\n';
  else if (chunks > 0)
    out << "devices   " << lost.size() << " send " << chunks
        << " chunks again with their next snapshot, as far as they still have them\n";
  return Done{};
}

}  // namespace lamina::origin
