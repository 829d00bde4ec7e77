// DeltaStream: what a layer holds so that one tree with the layer on top of it is another tree.
//
// Every entry that is new or changed, and a whiteout for what is gone: one for the topmost path,
// none for what a file that took a directory's place hides anyway. Of a file that is merged by
// record its record changes, where the contents are known. Streaming; one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "shared/format/content.hpp"
#include "shared/image/diff.hpp"

namespace lamina::image {

class DeltaStream : public format::EntryStream {
 public:
  // `before` and `after` have no whiteouts.
  DeltaStream(std::unique_ptr<format::EntryStream> before,
              std::unique_ptr<format::EntryStream> after)
      : differences_(std::move(before), std::move(after)) {}

  // Where the contents of files that are merged by record are.
  struct Records {
    format::ChunkSource before, after;
    format::MadeContent& made;  // Their changes are made with it; it outlives the stream.
  };
  DeltaStream(std::unique_ptr<format::EntryStream> before,
              std::unique_ptr<format::EntryStream> after, Records records)
      : differences_(std::move(before), std::move(after)), records_(std::move(records)) {}

  // Errors of the streams and the sources are passed on. `invalid`, naming the file, when its
  // records break a limit.
  Result<std::optional<format::Entry>> next() override;

  // Whether a layer with the entries until now has record changes.
  bool has_record_changes() const { return has_record_changes_; }

 private:
  Status take_changes(Difference& difference);

  DiffStream differences_;
  std::optional<Records> records_;
  bool has_record_changes_ = false;
  std::optional<std::string> hidden_;  // What is gone beneath it needs no whiteout.
};

}  // namespace lamina::image
