// `lamina-origin rebuild`: the catalogue from its journal and the chunk indexes from the packs,
// where they are gone. What is there stays as it is.
#pragma once

#include <ostream>

#include "origin/catalog/journal.hpp"
#include "origin/data_directory.hpp"
#include "shared/cli/progress.hpp"

namespace lamina::origin {

// Makes the catalogue of `data` from its journal, beside, and puts it in its place. The caller
// holds the journal's lock. `not_found` without a journal, `corrupt` when it is damaged; the data
// directory is unchanged then.
Result<Rebuilt> rebuild_catalogue(const DataDirectory& data);

struct RebuildRequest {
  bool as_json = false;
  bool dry_run = false;  // Changes nothing, and says what would be made.
};
// Prints what was made. `unavailable` while `serve` runs, `refused` for another user than the
// directory's, `not_found` when `data` is no origin's directory or has no journal. Killed at any
// time, it can be begun again.
Status run_rebuild(const DataDirectory& data, const RebuildRequest& request, std::ostream& out,
                   lamina::cli::Progress& progress);

}  // namespace lamina::origin
