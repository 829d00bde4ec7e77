// `lamina-origin repair`: makes from the packs what can be made from them, and forgets what is
// lost, so that devices send again what they still have. `serve` must be stopped.
#pragma once

#include <ostream>
#include <string>

#include "origin/data_directory.hpp"
#include "shared/cli/progress.hpp"

namespace lamina::origin {

struct RepairRequest {
  std::string from;  // A backup, or a seeder's data directory; empty: none.
  bool as_json = false;
};

// First, from `from`, the packs that are damaged or lost here and sound there, proven by their
// names; then indexes and block hashes anew. Prints what was made and what is lost. `unavailable`
// while `serve` runs, `refused` for another user than the directory's, `not_found` when `data` is
// no origin's directory.
Status run_repair(const DataDirectory& data, const RepairRequest& request, WallTime now,
                  std::ostream& out, lamina::cli::Progress& progress);

}  // namespace lamina::origin
