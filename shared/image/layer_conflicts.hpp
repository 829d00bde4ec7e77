// What layers hide of each other, by file and by record: the report of a stack before it is
// assigned. Streaming but for the records of files that two layers change. One thread at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "shared/format/content.hpp"
#include "shared/format/record.hpp"

namespace lamina::image {

struct LayerConflict {
  std::string path;
  std::string record;      // Of a file that is merged by record: which one. "": the file itself.
  std::size_t hidden = 0;  // Indexes of the layers.
  std::size_t winner = 0;
  bool operator==(const LayerConflict&) const = default;
};

// `layers` in the order in which they would be applied; `chunks` gives those of their manifests and
// of their files that are merged by record. First the conflicts of files (ConflictStream says which
// these are), in path order; then those of records, by file and record. A layer that has all of
// such a file, as a base has, says something of each of its records. Errors of `visit` are passed
// on.
Status for_each_conflict(const std::vector<format::LayerRecord>& layers,
                         const format::ChunkSource& chunks,
                         const std::function<Status(const LayerConflict&)>& visit);

}  // namespace lamina::image
