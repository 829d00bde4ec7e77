// `lamina-node cache export|import`: layers to and from a disk.
#pragma once

#include <ostream>
#include <string>

#include "node/state.hpp"

namespace lamina::node {

struct CacheCommand {
  std::string layer;      // Of an export: "NAME:VERSION" or an id.
  std::string directory;  // Of the disk.
  bool as_json = false;
  bool dry_run = false;  // Of an import.
};

// Give up root, if the process has it, for the user of the enrolment. Data goes to `out`.
Status export_cache(const StateDirectory& state, const CacheCommand& command, std::ostream& out);
// `corrupt` when something was refused: the rest was taken, and a running node has heard of it.
Status import_cache(const StateDirectory& state, const CacheCommand& command, std::ostream& out);

}  // namespace lamina::node
