// A restore onto a tree that is there: a disk that was mounted, of the same machine, wiped, or of
// another one. Only what differs is fetched and written.
#pragma once

#include <string>

#include "shared/image/restore_scope.hpp"

namespace lamina::origin::cli {

struct Session;

struct RestoreOntoRequest {
  std::string device;
  std::string snapshot;  // "": the newest.
  std::string onto;
  image::RestoreLevel level = image::RestoreLevel::whole;
  image::Disks disks = image::Disks::restored;
  bool dry_run = false;
};

// `refused`: the tree is of another system, its disks are not those of the snapshot, or something
// stands in the way; nothing was changed then. `out_of_space` with the numbers, likewise. `corrupt`
// when the tree is not as it should be afterwards.
Status restore_onto(Session& session, const RestoreOntoRequest& request);

}  // namespace lamina::origin::cli
