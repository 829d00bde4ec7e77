#include "origin/rebuild.hpp"

#include <nlohmann/json.hpp>

#include "shared/os/clock.hpp"
#include "shared/os/file.hpp"
#include "shared/os/lock.hpp"
#include "shared/os/user.hpp"
#include "shared/store/store_check.hpp"

namespace lamina::origin {
namespace {

// An LMDB environment without its file is none.
bool has_database(const std::string& directory) { return os::exists(directory + "/data.mdb"); }

}  // namespace

Result<Rebuilt> rebuild_catalogue(const DataDirectory& data) {
  const std::string beside = data.catalog() + ".new";
  if (auto done = os::remove_tree(beside); !done) return fail(std::move(done.error()));
  if (auto done = os::make_directories(beside, 0700); !done) return fail(std::move(done.error()));
  Rebuilt rebuilt;
  {
    auto kv = Kv::open(beside);
    if (!kv) return fail(std::move(kv.error()));
    auto made = rebuild_rows(data.journal(), **kv);
    if (!made) return fail(std::move(made.error()));
    rebuilt = *made;
  }
  if (auto done = os::sync_directory(beside); !done) return fail(std::move(done.error()));
  if (auto done = os::remove_tree(data.catalog()); !done) return fail(std::move(done.error()));
  if (auto done = os::rename_file(beside, data.catalog()); !done)
    return fail(std::move(done.error()));
  if (auto done = os::sync_directory(data.root()); !done) return fail(std::move(done.error()));
  return rebuilt;
}

Status run_rebuild(const DataDirectory& data, const RebuildRequest& request, std::ostream& out,
                   lamina::cli::Progress& progress) {
  const bool as_json = request.as_json;
  if (auto is = check_is_origin(data); !is) return is;
  if (auto own = os::check_owner(data.root()); !own) return own;
  if (!os::exists(data.journal()))
    return fail(ErrorKind::not_found, printable(data.journal()) +
                                          " is not there: without it the catalogue comes from a "
                                          "backup only (lamina-origin restore)");
  auto lock = os::FileLock::take(data.journal() + "/lock");
  if (!lock) return fail(std::move(lock.error()));
  nlohmann::json catalogue{{"rebuilt", false}};
  if (has_database(data.catalog())) {
    if (!as_json) out << "catalogue  is there\n";
  } else if (request.dry_run) {
    catalogue["due"] = true;
    if (!as_json) out << "catalogue  would be made from its journal\n";
  } else {
    auto rebuilt = rebuild_catalogue(data);
    if (!rebuilt)
      return fail(std::move(rebuilt.error()).in("making the catalogue from its journal"));
    catalogue = {{"rebuilt", true},
                 {"rows", rebuilt->rows},
                 {"transactions", rebuilt->transactions},
                 {"torn_end", rebuilt->is_torn}};
    if (!as_json)
      out << "catalogue  made from " << rebuilt->rows << " rows and " << rebuilt->transactions
          << " transactions after them"
          << (rebuilt->is_torn ? "; one that was being written at the end is not in it" : "")
          << '\n';
  }
  nlohmann::json spaces = nlohmann::json::object();
  for (const auto& [name, directory] :
       {std::pair("layers", data.layers()), std::pair("cvd", data.cvds())}) {
    if (!os::exists(directory + "/packs")) continue;
    const bool is_there = has_database(directory + "/index");
    spaces[name] = {{"rebuilt", !is_there}};
    const std::string head = name + std::string(11 - std::string_view(name).size(), ' ');
    if (is_there) {
      if (!as_json) out << head << "has its index\n";
      continue;
    }
    if (request.dry_run) {
      spaces[name]["due"] = true;
      if (!as_json) out << head << "its index would be made from its packs\n";
      continue;
    }
    auto repair = repair_store(directory, [&](Bytes read, Bytes total) {
      progress.show(read, total, os::system_clock().now());
    });
    progress.clear();
    if (!repair) return fail(std::move(repair.error()));
    spaces[name]["packs"] = repair->packs;
    spaces[name]["unsound_packs"] = repair->unsound.size();
    if (as_json) continue;
    out << head << "index made from " << repair->packs << " packs";
    if (!repair->unsound.empty())
      out << "; " << repair->unsound.size() << " with other bytes than their names say are in "
          << name << "/unsound now";
    out << '\n';
  }
  if (as_json)
    out << nlohmann::json{{"rebuild",
                           {{"catalogue", catalogue},
                            {"spaces", spaces},
                            {"dry_run", request.dry_run}}}}
               .dump()
        << '\n';
  return Done{};
}

}  // namespace lamina::origin
