// RemoteLayers: the records and manifests of layers that the origin has, and their chunks as they
// are asked for. Memory: the manifests. One thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "origin/cli/remote_content.hpp"
#include "shared/format/record.hpp"

namespace lamina::origin::cli {

class RemoteLayers {
 public:
  // `names`: NAME:VERSION or ids. `session` outlives the object.
  static Result<std::unique_ptr<RemoteLayers>> open(Session& session,
                                                    const std::vector<std::string>& names);

  // In the order of the names.
  const std::vector<format::LayerRecord>& records() const { return records_; }
  // The object must outlive it.
  format::ChunkSource source();

 private:
  RemoteLayers(Session& session, os::TemporaryDirectory spool);
  Status fetch(const std::vector<format::ChunkRef>& refs);

  Session& session_;
  os::TemporaryDirectory spool_;
  RemoteBatch batch_;
  std::vector<format::LayerRecord> records_;
  std::map<ChunkId, Buffer> held_;
};

}  // namespace lamina::origin::cli
