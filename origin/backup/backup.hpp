// `lamina-origin backup`: a consistent copy of a data directory into another, while `serve` runs.
//
// What the backup's directory holds lies as in a data directory, but for:
//   backup.json      the marker: whose backup, and when it was finished last
//   catalogue.rows   all rows of the catalogue (origin/catalog/row_dump.hpp); no database, no index
//   incoming/        what is being copied
//
// The rows are read first, and everything that they refer to was durable before they were written
// (data, then index, then the record that refers to it): what is copied after them is a superset of
// what they need: no garbage is collected meanwhile. They get their name last. So a backup that is
// killed leaves the one before as it was, and what it copied is not copied again.
#pragma once

#include <optional>
#include <ostream>

#include "origin/backup/copier.hpp"
#include "origin/data_directory.hpp"
#include "shared/cli/progress.hpp"

namespace lamina::origin {

inline constexpr int kBackupVersion = 1;

struct BackupMarker {
  std::string origin;        // SHA-256 of the certificate of its API's CA.
  std::string name;          // Its first host name, for people.
  std::int64_t made_ms = 0;  // When it was finished; 0: the first one never was.
};
// None: there is no marker. `refused` when a later release made it.
Result<std::optional<BackupMarker>> read_marker(const std::string& directory);
Status write_marker(const std::string& directory, const BackupMarker& marker);
std::string backup_rows(const std::string& directory);

// What marks an origin as itself, from its keys. `not_found` when `data` is no data directory.
Result<BackupMarker> identity_of(const DataDirectory& data);

// What is in `directory`, without lost+found and what a crash left of writing the file `marker`
// there: nothing, when it may be made a backup or an origin.
Result<std::vector<std::string>> names_in_use(const std::string& directory,
                                              const std::string& marker);

// `refused` when one of the two directories lies in the other.
Status check_apart(const std::string& a, const std::string& b);

// Writes all rows of the catalogue of `data` to the new file `path`.
Status dump_catalogue(const DataDirectory& data, const std::string& path);

// What the catalogue in `rows` speaks of, and whether the records that it needs are in `holder`;
// those that are not go to `problems`. `corrupt` when the rows are damaged.
struct RowsSummary {
  std::uint64_t rows = 0, layers = 0, devices = 0, snapshots = 0;
};
Result<RowsSummary> look_at_rows(const std::string& rows, const DataDirectory& holder,
                                 std::vector<std::string>& problems);

// What a backup, a restore or a move made in `directory`.
struct CopyReport {
  CopyCounts counts;
  RowsSummary summary;
};
// Prints it; as JSON, below the name of the command.
void print_report(std::ostream& out, const std::string& command, const std::string& directory,
                  const CopyReport& report, bool as_json);

struct BackupRequest {
  std::string to;
  bool read_data = false;
  bool as_json = false;
};
// Prints what the backup holds. Waits while garbage is collected. `corrupt` when it was made, but
// for damaged things that it names; `refused` for a directory that holds something else,
// `unavailable` while another backup into it runs.
Status run_backup(const DataDirectory& data, const BackupRequest& request, WallTime now,
                  std::ostream& out, lamina::cli::Progress& progress,
                  const Copier::OnStep& on_step = {});

}  // namespace lamina::origin
