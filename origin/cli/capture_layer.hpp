// A directory tree as a layer: `lamina layer capture`, and `lamina layer import` of a directory.
#pragma once

#include <string>

#include "origin/cli/left_out.hpp"
#include "origin/cli/publish.hpp"
#include "shared/tree/capture.hpp"

namespace lamina::origin::cli {

struct CaptureRequest {
  LayerOrder order;
  std::string tree;
  std::string snapshot;  // Instead of a tree: "DEVICE" or "DEVICE:SNAPSHOT".
  std::string over;      // Names of layers, base first; "": the layer has all of the tree.
  std::string rules;     // The administrator's own, a file; "" = none.
  bool dry_run = false;
};

// With `dry_run` says what would be left out, and reads no content and sends nothing.
Status capture_layer(Session& session, CaptureRequest request);

// How every capture reads a tree: what the rules decide, progress on the terminal. What the
// arguments refer to must outlive the options.
CaptureOptions capture_options(const Session& session, LeftOut& left_out);
// A line a rule on stderr, then what the capture had to note.
Status report_left_out(const Session& session, const os::Root& tree, LeftOut& left_out,
                       const CaptureResult& captured);

}  // namespace lamina::origin::cli
