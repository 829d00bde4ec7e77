// DifferenceStream: the application layer that makes one tree of another.
//
// What was added or changed is in it, a whiteout for what was removed (one for a directory with all
// beneath it), and of a file that is merged by record its record changes. Streaming; one thread at
// a time.
#pragma once

#include <memory>
#include <string>

#include "shared/format/content.hpp"
#include "shared/image/diff.hpp"

namespace lamina::image {

class DifferenceStream : public format::EntryStream {
 public:
  // `before` and `after` have no whiteouts. The chunks of files that are merged by record are asked
  // for; their changes are made with `made`, which must outlive the stream.
  DifferenceStream(std::unique_ptr<format::EntryStream> before, format::ChunkSource before_chunks,
                   std::unique_ptr<format::EntryStream> after, format::ChunkSource after_chunks,
                   format::MadeContent& made);

  // Errors of the streams and the sources are passed on. `invalid`, naming the file, when its
  // records break a limit.
  Result<std::optional<format::Entry>> next() override;

  // Whether a layer with the entries until now has record changes.
  bool has_record_changes() const { return has_record_changes_; }

 private:
  Status take_changes(Difference& difference);

  DiffStream difference_;
  format::ChunkSource before_chunks_, after_chunks_;
  format::MadeContent& made_;
  bool has_record_changes_ = false;
  std::string covered_;  // What lay beneath it goes with it; empty: nothing yet.
};

}  // namespace lamina::image
