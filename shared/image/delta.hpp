// DeltaStream: what a layer holds so that one tree with the layer on top of it is another tree.
//
// Every entry that is new or changed, and a whiteout for what is gone: one for the topmost path,
// none for what a file that took a directory's place hides anyway. Streaming; one thread at a time.
#pragma once

#include <memory>
#include <string>

#include "shared/image/diff.hpp"

namespace lamina::image {

class DeltaStream : public format::EntryStream {
 public:
  DeltaStream(std::unique_ptr<format::EntryStream> before,
              std::unique_ptr<format::EntryStream> after)
      : differences_(std::move(before), std::move(after)) {}

  // Errors of either stream are passed on.
  Result<std::optional<format::Entry>> next() override;

 private:
  DiffStream differences_;
  std::optional<std::string> hidden_;  // What is gone beneath it needs no whiteout.
};

}  // namespace lamina::image
