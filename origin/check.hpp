// `lamina-origin check`: whether everything that the catalogue speaks of is there and sound, and
// who is touched where it is not. Reads only; may run beside `serve`.
#pragma once

#include <ostream>
#include <string>

#include "origin/data_directory.hpp"
#include "shared/cli/progress.hpp"
#include "shared/store/store_check.hpp"

namespace lamina::origin {

struct CheckRequest {
  bool read_data = false;
  std::string subset;  // "2/7": the second of seven parts of all packs; empty: all.
  bool as_json = false;
};

// Prints what was looked at, and every finding with the layers and devices that it touches and the
// next step. `corrupt` when there are any, `invalid` for a bad subset, `not_found` when `data` is
// no origin's directory. `progress`: of the bytes of packs looked at.
Status run_check(const DataDirectory& data, const CheckRequest& request, std::ostream& out,
                 lamina::cli::Progress& progress);

}  // namespace lamina::origin
