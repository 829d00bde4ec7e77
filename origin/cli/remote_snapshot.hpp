// RemoteSnapshot: a snapshot at the origin: its record, its entries, and single chunks as they are
// asked for. Whole contents are read through RemoteContent. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "origin/cli/remote_content.hpp"
#include "shared/format/record.hpp"

namespace lamina::origin::cli {

class RemoteSnapshot {
 public:
  // `device`: its id in hex. `snapshot`: its id in hex; "" for the newest. `spool`: a directory for
  // its files. `session` outlives the object.
  static Result<std::unique_ptr<RemoteSnapshot>> open(Session& session, const std::string& device,
                                                      const std::string& snapshot,
                                                      const std::string& spool);

  const SnapshotId& id() const { return id_; }
  const format::SnapshotRecord& record() const { return record_; }

  // From the first entry on. What lies behind what was read is fetched ahead. Not to be used beside
  // another one that reads ahead. The object outlives it.
  Result<std::unique_ptr<format::ManifestReader>> entries();

  // The entry of a path; `not_found` names it.
  Result<format::Entry> find(const std::string& path);
  // Up to `most` first bytes of a file; symlinks are followed within the tree. "" when there is no
  // such file.
  Result<std::string> read_start(const std::string& path, std::size_t most);

  // One by one: for a few chunks.
  format::ChunkSource source();

 private:
  RemoteSnapshot(Session& session, const std::string& device, const std::string& spool);
  Result<Buffer> read(const format::ChunkRef& ref);
  Result<std::unique_ptr<format::ManifestReader>> open_reader();

  Session& session_;
  SnapshotId id_;
  format::SnapshotRecord record_;
  RemoteBatch entries_, other_;
  std::vector<format::ChunkRef> order_;  // All that hold entries.
  std::ptrdiff_t next_ = -1;             // Behind what was fetched last.
  std::ptrdiff_t ahead_ = 1;
  std::unique_ptr<format::ManifestReader> finder_;
};

}  // namespace lamina::origin::cli
