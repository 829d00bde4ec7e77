// After an apply or a revert: the commands that make derived files again (shared/image/rules.hpp).
#pragma once

#include <string>
#include <vector>

#include "node/worker/transaction.hpp"

namespace lamina::node {

// Runs the commands that are due on the volume, each for some minutes at the most, and forgets
// them, however they ended: what could not be made again is said once. Text for each such command,
// and for those of which the volume has no program one line.
Result<std::vector<std::string>> regenerate(Transaction& transaction);

}  // namespace lamina::node
