#include "origin/backup/restore.hpp"

#include <nlohmann/json.hpp>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/journaled_table.hpp"
#include "origin/catalog/row_dump.hpp"
#include "origin/rebuild.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/lock.hpp"
#include "shared/os/user.hpp"
#include "shared/store/store_check.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kConfigMax = 1 << 16;

std::string begun_path(const DataDirectory& data) { return data.root() + "/restoring.json"; }

std::string lock_path(const DataDirectory& data) { return data.root() + "/restoring.lock"; }

// Durable under its name.
Status copy_file(const std::string& from, const std::string& to) {
  auto source = os::open_read(from);
  if (!source) return fail(std::move(source.error()));
  auto target = os::open_write(to + ".new", 0600);
  if (!target) return fail(std::move(target.error()));
  Buffer piece(1 << 20);
  for (;;) {
    auto n = os::read_some(source->get(), piece, from);
    if (!n) return fail(std::move(n.error()));
    if (*n == 0) break;
    if (auto done = os::write_all(target->get(), ByteView(piece).first(*n), to); !done) return done;
  }
  if (auto done = os::sync_data(target->get(), to); !done) return done;
  return os::rename_file(to + ".new", to);
}

// Whether the same was begun in the directory; `refused` when it holds anything else.
Result<bool> has_begun(const DataDirectory& data, const BackupMarker& origin) {
  if (!os::exists(data.root())) return false;
  auto names = names_in_use(data.root(), begun_path(data));
  if (!names) return fail(std::move(names.error()));
  if (names->empty()) return false;
  const auto begun = os::read_text(begun_path(data), kConfigMax);
  const auto object = nlohmann::json::parse(begun ? *begun : "", nullptr, false);
  if (object.is_object() && object.value("origin", "") == origin.origin) return true;
  return fail(ErrorKind::refused, printable(data.root()) +
                                      " is not empty: choose another directory, or remove it if it "
                                      "is not needed any more");
}

// Into an empty directory, or one in which the same was begun.
Status begin(const DataDirectory& data, const BackupMarker& origin) {
  auto begun = has_begun(data, origin);
  if (!begun) return fail(std::move(begun.error()));
  if (*begun) return Done{};
  // The top is open, so that a seeder of another user reaches its parts.
  if (auto done = os::make_directories(data.root()); !done) return done;
  const nlohmann::json object{{"origin", origin.origin}, {"name", origin.name}};
  return os::write_file(begun_path(data), as_view(object.dump() + '\n'), 0600);
}

// The journal with the rows alone, and the database from it.
Result<Rebuilt> make_catalogue(const DataDirectory& data, const std::string& rows) {
  for (const std::string& directory : {data.journal(), data.catalog()})
    if (auto done = os::remove_tree(directory); !done) return fail(std::move(done.error()));
  if (auto done = os::make_directories(data.journal(), 0700); !done)
    return fail(std::move(done.error()));
  // Once to know the number that names it, and whether it is sound before anything is made of it.
  auto facts = read_dump(rows, [](std::string_view, auto) -> Status { return Done{}; });
  if (!facts) return fail(std::move(facts.error()));
  if (auto done = copy_file(rows, rows_path(data.journal(), facts->number)); !done)
    return fail(std::move(done.error()));
  if (auto file = create_changes(data.journal(), facts->number); !file)
    return fail(std::move(file.error()));
  return rebuild_catalogue(data);
}

// Everything but origin.json.
Result<CopyReport> make(const DataDirectory& from, const std::string& rows, const DataDirectory& to,
                        const Copier::OnStep& on_step, lamina::cli::Progress& progress) {
  const auto show = [&](Bytes done, Bytes total) {
    progress.show(done, total, os::system_clock().now());
  };
  auto copier = Copier::open(to.root(), on_step);
  if (!copier) return fail(std::move(copier.error()));
  copier->step("begun");
  CopyReport made;
  const CopyOptions options{.into = CopyOptions::Into::origin, .progress = show};
  if (auto done = copy_content(from, to, options, *copier, made.counts); !done)
    return fail(std::move(done.error()));
  auto summary = look_at_rows(rows, to, made.counts.problems);
  if (!summary) return fail(std::move(summary.error()));
  made.summary = *summary;
  copier->step("catalogue");
  if (auto done = make_catalogue(to, rows); !done) return fail(std::move(done.error()));
  copier->step("index");
  for (const std::string& directory : {to.layers(), to.cvds()}) {
    // Every pack was proven when it was copied, or by the restore that was killed.
    auto index = repair_store(directory, show, PackProof::trusted);
    if (!index) return fail(std::move(index.error()));
  }
  for (const auto& [path, mode] :
       {std::pair(to.torrents(), mode_t{0755}), std::pair(to.temporary(), mode_t{0700})})
    if (auto done = os::make_directories(path, mode); !done) return fail(std::move(done.error()));
  return made;
}

// restoring.json goes last: with it nothing serves the directory. A kill may have left only that.
Status finish(const DataDirectory& data) {
  if (auto done = os::remove_tree(data.root() + "/incoming"); !done) return done;
  for (const std::string& path : {lock_path(data), begun_path(data)})
    if (auto done = os::remove_file(path); !done && done.error().kind() != ErrorKind::not_found)
      return done;
  return os::sync_directory(data.root());
}

Status copy_config(const DataDirectory& from, const DataDirectory& to) {
  auto config = os::read_file(from.config(), kConfigMax);
  if (!config) return fail(std::move(config.error()));
  return os::write_file(to.config(), *config);
}

}  // namespace

Status run_restore(const DataDirectory& data, const RestoreRequest& request, WallTime now,
                   std::ostream& out, lamina::cli::Progress& progress,
                   const Copier::OnStep& on_step) {
  auto marker = read_marker(request.from);
  if (!marker) return fail(std::move(marker.error()));
  const std::string rows = backup_rows(request.from);
  if (!*marker || !os::exists(rows))
    return fail(ErrorKind::not_found,
                printable(request.from) + (*marker ? " holds a backup that was never finished"
                                                   : " holds no backup (no backup.json)"));
  if (auto apart = check_apart(request.from, data.root()); !apart) return apart;
  // Not while a backup into it runs: rows and packs are of one moment. Where nothing can be written
  // none does.
  auto reading = os::FileLock::take(request.from + "/lock");
  if (!reading && reading.error().kind() == ErrorKind::unavailable)
    return fail(std::move(reading.error()).in("a backup into it runs"));
  if (auto done = begin(data, **marker); !done) return done;
  auto lock = os::FileLock::take(lock_path(data));
  if (!lock) return fail(std::move(lock.error()));
  auto made = make(DataDirectory(request.from), rows, data, on_step, progress);
  progress.clear();
  if (!made) return fail(std::move(made.error()).in("restoring " + printable(data.root())));
  {
    auto table = JournaledTable::open(data.catalog(), data.journal());
    if (!table) return fail(std::move(table.error()));
    if (auto done = Catalog(**table).note_restored({"origin", now}, (*marker)->made_ms); !done)
      return done;
  }
  if (auto done = copy_config(DataDirectory(request.from), data); !done) return done;
  if (on_step) on_step("config");
  if (auto done = finish(data); !done) return done;
  print_report(out, "restore", data.root(), *made, request.as_json);
  if (made->counts.problems.empty()) return Done{};
  return fail(ErrorKind::corrupt,
              printable(data.root()) + " is made, but without " +
                  std::to_string(made->counts.problems.size()) +
                  " damaged or missing things; `lamina-origin check` says what they touch");
}

Status run_move(const DataDirectory& data, const MoveRequest& request, std::ostream& out,
                lamina::cli::Progress& progress, const Copier::OnStep& on_step) {
  const DataDirectory to(request.to);
  const std::string moved = data.config() + ".moved";
  // Killed at its very end: neither is served.
  if (!os::exists(data.config()) && os::exists(moved) && os::exists(to.config()) &&
      os::exists(begun_path(to)))
    return finish(to);
  auto marker = identity_of(data);
  if (!marker) return fail(std::move(marker.error()));
  // What another user makes, `serve` could not open.
  if (auto own = os::check_owner(data.root()); !own) return own;
  if (auto apart = check_apart(data.root(), to.root()); !apart) return apart;
  if (request.dry_run) {
    auto begun = has_begun(to, *marker);
    if (!begun) return fail(std::move(begun.error()));
    auto lock = os::FileLock::take(data.journal() + "/lock");
    if (!lock) return fail(std::move(lock.error()).in("stop `lamina-origin serve` first"));
    if (request.as_json)
      out << nlohmann::json{{"move", {{"directory", to.root()}, {"dry_run", true}}}}.dump() << '\n';
    else
      out << "It can be moved to " << printable(to.root()) << (*begun ? ", where it was begun" : "")
          << ". Nothing was changed.\n";
    return Done{};
  }
  const std::string rows = to.root() + "/catalogue.rows";
  {
    // Also brings the database up to its journal.
    auto table = JournaledTable::open(data.catalog(), data.journal());
    if (!table) return fail(std::move(table.error()).in("stop `lamina-origin serve` first"));
    if (auto done = begin(to, *marker); !done) return done;
    auto lock = os::FileLock::take(lock_path(to));
    if (!lock) return fail(std::move(lock.error()));
    if (auto done = dump_catalogue(data, rows); !done) return done;
    auto made = make(data, rows, to, on_step, progress);
    progress.clear();
    if (!made) return fail(std::move(made.error()).in("moving to " + printable(to.root())));
    if (auto done = os::remove_file(rows); !done) return done;
    if (!made->counts.problems.empty()) {
      print_report(out, "move", to.root(), *made, request.as_json);
      return fail(ErrorKind::corrupt, printable(data.root()) +
                                          " is still the origin's: it has damaged things, see "
                                          "`lamina-origin check --read-data`; `repair`, then move "
                                          "again");
    }
    if (auto done = copy_config(data, to); !done) return done;
    if (on_step) on_step("config");
    if (auto done = os::rename_file(data.config(), moved); !done) return done;
    if (auto done = os::sync_directory(data.root()); !done) return done;
    if (on_step) on_step("moved");
    if (auto done = finish(to); !done) return done;
    print_report(out, "move", to.root(), *made, request.as_json);
  }
  if (!request.as_json)
    out << printable(data.root()) << " is not used any more: start `lamina-origin serve --data "
        << printable(to.root()) << "` and the seeder, look at them, then remove it\n";
  return Done{};
}

}  // namespace lamina::origin
