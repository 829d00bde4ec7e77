// capture_difference: an application layer of what a tree has otherwise than the layers beneath it.
#pragma once

#include <string>
#include <vector>

#include "origin/cli/upload.hpp"
#include "shared/tree/capture.hpp"

namespace lamina::origin::cli {

struct CapturedDifference {
  CaptureResult result;  // Its manifest is the layer's.
  bool has_record_changes = false;
};

// `options` for the files alone that are merged by record; borrows them. Their contents are needed,
// whatever an earlier look knew.
CaptureOptions records_only(const CaptureOptions& options);
// The record changes of an entry that holds some, from `source`.
Status send_record_changes(const format::Entry& entry, const format::ChunkSource& source,
                           Upload& upload);

// Captures `root` against the layers `over` (names, base first), which are read from the origin,
// and hands what is new to `upload`. What `options` leave out counts as equal. Memory: the
// manifests.
Result<CapturedDifference> capture_difference(Session& session,
                                              const std::vector<std::string>& over,
                                              const os::Root& root, const CaptureOptions& options,
                                              Upload& upload);

}  // namespace lamina::origin::cli
