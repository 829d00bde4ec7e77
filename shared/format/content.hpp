// Contents of small files in memory: read as a whole, or made here and in no pack.
#pragma once

#include <map>
#include <string>

#include "shared/format/manifest.hpp"

namespace lamina::format {

// The whole content of the file `entry`, holes included. `invalid` when it has more than `limit`
// bytes; errors of the source are passed on.
Result<std::string> read_content(const Entry& entry, const ChunkSource& source, std::size_t limit);

// Contents that were worked out on this device, and the chunks that they are cut into. One thread
// at a time; what source() gave may be called by another one while nothing is made.
class MadeContent {
 public:
  // Makes `bytes` the content of the file `entry`.
  void set(Entry& entry, std::string_view bytes);
  // What was made here and is made later, and everything else from `other`. The object must outlive
  // it.
  ChunkSource source(ChunkSource other) const;

 private:
  std::map<ChunkId, Buffer> chunks_;
};

}  // namespace lamina::format
