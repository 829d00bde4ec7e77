// Bytes by source in the catalogue; private to the .cpp files of this folder.
#pragma once

#include "origin/catalog/rows.hpp"

namespace lamina::origin {

// What of `said` is not in `known` yet, which takes it in. Totals that shrank count as before.
BytesBySource take_new(std::optional<wire::ByteCounts>& known, const wire::ByteCounts& said);

// Adds to the site's total and to its day, and forgets days that nobody asks for any more.
Status add_site_bytes(Rows& rows, WallTime now, const std::string& site, const BytesBySource& more);

}  // namespace lamina::origin
