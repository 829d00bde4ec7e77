#include "origin/backup/backup.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "origin/catalog/kv_table.hpp"
#include "origin/catalog/row_dump.hpp"
#include "origin/erasure.hpp"
#include "shared/base/log.hpp"
#include "shared/os/clock.hpp"
#include "shared/os/lock.hpp"

namespace lamina::origin {
namespace {

constexpr std::size_t kMarkerMax = 1 << 16;
constexpr std::size_t kProblemsShown = 20;
// Each begins with newer rows, for when what they need was set aside under the one before.
constexpr int kPassesMax = 3;

std::string marker_path(const std::string& directory) { return directory + "/backup.json"; }

Status check_target(const std::string& directory, const BackupMarker& own) {
  if (!os::exists(directory)) return Done{};
  auto marker = read_marker(directory);
  if (!marker) return fail(std::move(marker.error()));
  if (!*marker) {
    auto names = names_in_use(directory, marker_path(directory));
    if (!names) return fail(std::move(names.error()));
    std::erase(*names, "lock");
    if (names->empty()) return Done{};
    return fail(ErrorKind::refused, printable(directory) +
                                        " is not empty and no backup of an origin: choose another "
                                        "directory");
  }
  if ((*marker)->origin == own.origin) return Done{};
  return fail(ErrorKind::refused, printable(directory) + " holds the backup of another origin, " +
                                      printable((*marker)->name) +
                                      ": choose another directory, one for each origin");
}

Status make(const DataDirectory& data, const DataDirectory& to, const CopyOptions& options,
            Copier& copier, CopyReport& made) {
  const std::string rows = backup_rows(to.root()) + ".new";
  for (int pass = 1;; ++pass) {
    if (auto done = dump_catalogue(data, rows); !done) return done;
    copier.step("rows");
    made.counts = {};
    if (auto done = copy_content(data, to, options, copier, made.counts); !done) return done;
    if (made.counts.vanished == 0) break;
    if (pass == kPassesMax)
      return fail(ErrorKind::unavailable,
                  "packs or records went away faster than they could be copied; begin it again");
  }
  // Also reads back what was written.
  auto summary = look_at_rows(rows, to, made.counts.problems);
  if (!summary) return fail(std::move(summary.error()));
  made.summary = *summary;
  auto config = os::read_file(data.config(), kMarkerMax);
  if (!config) return fail(std::move(config.error()));
  if (auto done = os::write_file(to.config(), *config, 0600); !done) return done;
  copier.step("config");
  if (auto done = os::rename_file(rows, backup_rows(to.root())); !done) return done;
  if (auto done = os::sync_directory(to.root()); !done) return done;
  copier.step("renamed");
  return Done{};
}

}  // namespace

std::string backup_rows(const std::string& directory) { return directory + "/catalogue.rows"; }

Result<std::optional<BackupMarker>> read_marker(const std::string& directory) {
  auto text = os::read_text(marker_path(directory), kMarkerMax);
  if (!text && text.error().kind() == ErrorKind::not_found) return std::optional<BackupMarker>();
  if (!text) return fail(std::move(text.error()));
  const auto object = nlohmann::json::parse(*text, nullptr, false);
  if (!object.is_object() || !object.contains("lamina_backup") ||
      !object["lamina_backup"].is_number_integer())
    return fail(ErrorKind::corrupt, printable(marker_path(directory)) + " is no backup's marker");
  if (object["lamina_backup"].get<int>() != kBackupVersion)
    return fail(ErrorKind::refused, printable(directory) + " holds a backup of version " +
                                        std::to_string(object["lamina_backup"].get<int>()) +
                                        "; this release knows version " +
                                        std::to_string(kBackupVersion) +
                                        ": use the one that made it");
  try {
    return std::optional(BackupMarker{.origin = object.at("origin").get<std::string>(),
                                      .name = object.at("name").get<std::string>(),
                                      .made_ms = object.at("made_ms").get<std::int64_t>()});
  } catch (const nlohmann::json::exception& error) {
    return fail(ErrorKind::corrupt, printable(marker_path(directory)) + ": " + error.what());
  }
}

Status write_marker(const std::string& directory, const BackupMarker& marker) {
  const nlohmann::json object{{"lamina_backup", kBackupVersion},
                              {"origin", marker.origin},
                              {"name", marker.name},
                              {"made_ms", marker.made_ms},
                              {"made", to_iso8601(WallTime{marker.made_ms * 1'000'000})}};
  return os::write_file(marker_path(directory), as_view(object.dump(2) + '\n'), 0600);
}

Result<BackupMarker> identity_of(const DataDirectory& data) {
  auto config = read_config(data);
  if (!config) return fail(std::move(config.error()));
  auto pem = os::read_text(data.key("api-ca.pem"));
  if (!pem) return fail(std::move(pem.error()));
  auto facts = net::certificate_facts(*pem);
  if (!facts) return fail(std::move(facts.error()).in(data.key("api-ca.pem")));
  return BackupMarker{.origin = facts->fingerprint,
                      .name = config->names.empty() ? "" : config->names.front()};
}

Result<std::vector<std::string>> names_in_use(const std::string& directory,
                                              const std::string& marker) {
  auto names = os::list_directory(directory);
  if (!names) return names;
  std::erase_if(*names, [&](const std::string& name) {
    return name == "lost+found" || (directory + '/' + name).starts_with(marker + ".tmp-");
  });
  return names;
}

Status check_apart(const std::string& a, const std::string& b) {
  std::error_code error;
  const auto first = std::filesystem::weakly_canonical(std::filesystem::absolute(a, error), error);
  const auto second = std::filesystem::weakly_canonical(std::filesystem::absolute(b, error), error);
  const auto holds = [](const std::filesystem::path& outer, const std::filesystem::path& inner) {
    const auto relative = inner.lexically_relative(outer);
    return !relative.empty() && *relative.begin() != "..";
  };
  if (error || (!holds(first, second) && !holds(second, first))) return Done{};
  return fail(ErrorKind::refused, printable(b) + " and " + printable(a) +
                                      " lie in one another: choose a directory elsewhere, on "
                                      "another disk");
}

Status dump_catalogue(const DataDirectory& data, const std::string& path) {
  if (auto has = check_has_catalogue(data); !has) return has;
  auto kv = Kv::open(data.catalog());
  if (!kv) return fail(std::move(kv.error()));
  return KvTable(**kv).read([&](const Rows& rows) -> Status {
    auto dump = write_dump(path, rows);
    if (!dump) return fail(std::move(dump.error()));
    return Done{};
  });
}

Result<RowsSummary> look_at_rows(const std::string& rows, const DataDirectory& holder,
                                 std::vector<std::string>& problems) {
  RowsSummary summary;
  auto read = read_dump(rows, [&](std::string_view key, auto) -> Status {
    summary.layers += key.starts_with("layer/") ? 1 : 0;
    summary.devices += key.starts_with("device/") ? 1 : 0;
    summary.snapshots += key.starts_with("snapshot-id/") ? 1 : 0;
    for (const auto& [kind, hex] : objects_of(key))
      if (!os::exists(holder.object(kind, hex)))
        problems.push_back("objects/" + kind + '/' + hex + " is not there");
    return Done{};
  });
  if (!read) return fail(std::move(read.error()));
  summary.rows = read->rows;
  return summary;
}

void print_report(std::ostream& out, const std::string& command, const std::string& directory,
                  const CopyReport& report, bool as_json) {
  const auto& [counts, summary] = report;
  if (as_json) {
    out << nlohmann::json{{command,
                           {{"directory", directory},
                            {"rows", summary.rows},
                            {"layers", summary.layers},
                            {"devices", summary.devices},
                            {"snapshots", summary.snapshots},
                            {"objects", counts.objects},
                            {"objects_new", counts.objects_new},
                            {"packs", counts.packs},
                            {"packs_new", counts.packs_new},
                            {"bytes", counts.bytes.count},
                            {"bytes_new", counts.bytes_new.count},
                            {"problems", counts.problems}}}}
               .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
        << '\n';
    return;
  }
  out << "catalogue  " << summary.layers << " layers, " << summary.devices << " devices, "
      << summary.snapshots << " snapshots\n"
      << "records    " << counts.objects << ", " << counts.objects_new << " of them new\n"
      << "packs      " << counts.packs << " (" << to_text(counts.bytes) << "), " << counts.packs_new
      << " of them new (" << to_text(counts.bytes_new) << ")\n";
  for (std::size_t i = 0; i < counts.problems.size() && i < kProblemsShown; ++i)
    out << "  not good  " << printable(counts.problems[i]) << '\n';
}

Status run_backup(const DataDirectory& data, const BackupRequest& request, WallTime now,
                  std::ostream& out, lamina::cli::Progress& progress,
                  const Copier::OnStep& on_step) {
  auto marker = identity_of(data);
  if (!marker) return fail(std::move(marker.error()));
  if (auto apart = check_apart(data.root(), request.to); !apart) return apart;
  if (auto good = check_target(request.to, *marker); !good) return good;
  if (auto done = os::make_directories(request.to, 0700); !done) return done;
  auto lock = os::FileLock::take(request.to + "/lock");
  if (!lock) return fail(std::move(lock.error()).in("another backup runs"));
  auto had = read_marker(request.to);
  if (!had) return fail(std::move(had.error()));
  // So that the next one knows whose it is, should this one be killed.
  if (!*had)
    if (auto done = write_marker(request.to, *marker); !done) return done;
  auto copier = Copier::open(request.to, on_step);
  if (!copier) return fail(std::move(copier.error()));
  copier->step("begun");
  // What the rows name, which are read under it, is there until it is copied.
  auto still = hold_still(data, [&] { copier->step("waiting"); });
  if (!still) return fail(std::move(still.error()));
  CopyReport made;
  const CopyOptions options{.into = CopyOptions::Into::backup,
                            .read_data = request.read_data,
                            .progress = [&](Bytes copied, Bytes total) {
                              progress.show(copied, total, os::system_clock().now());
                            }};
  auto done = make(data, DataDirectory(request.to), options, *copier, made);
  progress.clear();
  if (!done) return fail(std::move(done.error()).in("backing up into " + printable(request.to)));
  marker->made_ms = now.ns / 1'000'000;
  if (auto written = write_marker(request.to, *marker); !written) return written;
  // So that who erases a CVD can be told where copies of it are.
  std::error_code error;
  const auto place =
      std::filesystem::weakly_canonical(std::filesystem::absolute(request.to, error), error);
  if (auto noted = note_backup(data.root(), {error ? request.to : place.string(), marker->made_ms});
      !noted)
    log::warning("backup_not_noted", {{"error", noted.error().text()}});
  print_report(out, "backup", request.to, made, request.as_json);
  if (made.counts.problems.empty()) return Done{};
  return fail(ErrorKind::corrupt,
              "the backup is made, but without " + std::to_string(made.counts.problems.size()) +
                  " damaged or missing things; `lamina-origin check --read-data` says what they "
                  "touch");
}

}  // namespace lamina::origin
