#include "origin/repair.hpp"

#include <map>
#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/journaled_table.hpp"
#include "origin/lost_chunks.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/user.hpp"
#include "shared/store/store_check.hpp"

namespace lamina::origin {
namespace {

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

Status run_repair(const DataDirectory& data, bool as_json, WallTime now, std::ostream& out,
                  lamina::cli::Progress& progress) {
  if (auto is = check_is_origin(data); !is) return is;
  // What another user makes, `serve` could not open.
  if (auto own = os::check_owner(data.root()); !own) return own;
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
