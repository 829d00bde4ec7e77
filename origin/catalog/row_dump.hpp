// All rows of the catalogue in one file, checked throughout: what backups hold, and what the
// journal begins with.
//
//   file  = magic "LMrows01", then checked rows (shared/store/row_file.hpp)
//   row   = 'R' changes (row_changes.hpp), about 64 KiB, in key order
//   last  = 'E' number:u64 rows:u64
//
// `number`: the newest transaction of the journal whose changes are in it. A file without its last
// row is cut off. Any thread.
#pragma once

#include <string>
#include <vector>

#include "origin/catalog/row_changes.hpp"
#include "origin/catalog/table.hpp"

namespace lamina::origin {

struct DumpFacts {
  std::uint64_t number = 0;
  std::uint64_t rows = 0;
  std::uint64_t size = 0;  // Of the file.
};

// Writes what `rows` sees to the new file `path`, mode 0600, and syncs it; its name is the caller's
// to sync. The transaction lasts until the last byte is written: meanwhile the database cannot use
// again the space of what is replaced, and grows by it.
Result<DumpFacts> write_dump(const std::string& path, const Rows& rows);

// Gives every row to `visit`, in key order; no row has no value. `corrupt` when the file is
// damaged or cut off; what was visited before is sound all the same.
Result<DumpFacts> read_dump(const std::string& path, const VisitChange& visit);

// A file below objects/ without which a row of this key is of no use.
struct NeededObject {
  std::string kind;  // As in DataDirectory::object().
  std::string hex;
};
std::vector<NeededObject> objects_of(std::string_view key);

}  // namespace lamina::origin
