#include "origin/touched.hpp"

#include <map>

#include "shared/format/record.hpp"

namespace lamina::origin {
namespace {

using Hits = std::set<std::size_t>;  // Numbers of damages.

class Touching {
 public:
  Touching(const Catalog& catalog, const format::ChunkSource& source,
           const std::function<Result<Buffer>(const SnapshotId&)>& record,
           std::span<const std::set<ChunkId>> damages, const std::function<bool()>& is_stopping)
      : catalog_(catalog), source_(source), record_(record), is_stopping_(is_stopping) {
    for (std::size_t i = 0; i < damages.size(); ++i)
      for (const ChunkId& chunk : damages[i]) of_[chunk].insert(i);
    for (const auto& [chunk, hits] : of_) chunks_.push_back(chunk);
    touched_.resize(damages.size());
  }

  Result<std::vector<Touched>> run();

 private:
  Status look_at_device(const DeviceId& device);
  Status look_at_snapshot(const wire::SnapshotInfo& snapshot, Hits& hits);
  void add(const ChunkId& chunk, Hits& hits) const {
    if (const auto at = of_.find(chunk); at != of_.end())
      hits.insert(at->second.begin(), at->second.end());
  }
  Status go_on() const {
    if (!is_stopping_ || !is_stopping_()) return Done{};
    return fail(ErrorKind::unavailable, "looking for what is touched was told to stop");
  }

  const Catalog& catalog_;
  const format::ChunkSource& source_;
  const std::function<Result<Buffer>(const SnapshotId&)>& record_;
  const std::function<bool()>& is_stopping_;
  std::map<ChunkId, Hits> of_;
  std::vector<ChunkId> chunks_;
  std::map<ChunkId, Hits> parts_;  // Of the device's manifests that were read: what is in them.
  std::vector<Touched> touched_;
};

Result<std::vector<Touched>> Touching::run() {
  if (chunks_.empty()) return std::move(touched_);
  auto looked = catalog_.for_each_need([&](const Catalog::ChunkNeed& need) {
    const auto at = of_.find(need.chunk);
    if (at == of_.end()) return;
    for (const std::size_t damage : at->second) {
      if (need.layer) touched_[damage].layers.insert(*need.layer);
      if (need.device) touched_[damage].devices.insert(*need.device);
    }
  });
  if (!looked) return fail(std::move(looked.error()));
  auto devices = catalog_.devices();
  if (!devices) return fail(std::move(devices.error()));
  for (const wire::DeviceInfo& device : *devices) {
    if (auto going = go_on(); !going) return fail(std::move(going.error()));
    // Nothing of a snapshot is anything that its device may not read.
    auto foreign = catalog_.unreadable(device.id, chunks_);
    if (!foreign) return fail(std::move(foreign.error()));
    if (foreign->size() == chunks_.size()) continue;
    if (auto done = look_at_device(device.id); !done) return fail(std::move(done.error()));
  }
  return std::move(touched_);
}

Status Touching::look_at_device(const DeviceId& device) {
  auto snapshots = catalog_.snapshots(device);
  if (!snapshots) return fail(std::move(snapshots.error()));
  parts_.clear();
  for (const wire::SnapshotInfo& snapshot : *snapshots) {
    if (auto going = go_on(); !going) return going;
    Hits hits;
    if (auto done = look_at_snapshot(snapshot, hits); !done) return done;
    for (const std::size_t damage : hits) {
      touched_[damage].devices.insert(device);
      touched_[damage].snapshots.insert({device, snapshot.id, snapshot.number});
    }
  }
  return Done{};
}

Status Touching::look_at_snapshot(const wire::SnapshotInfo& snapshot, Hits& hits) {
  auto bytes = record_(snapshot.id);
  auto record = bytes ? format::parse_snapshot(*bytes)
                      : Result<format::SnapshotRecord>(fail(std::move(bytes.error())));
  if (!record) return Done{};  // That is a finding of its own.
  for (const format::ChunkRef& chunk : record->report) add(chunk.id, hits);
  for (const format::ChunkRef& chunk : record->manifest.fence) add(chunk.id, hits);
  Hits* part = nullptr;  // What is in the chunk of entries that is being read.
  auto visited = format::for_each_chunk(
      record->manifest, source_,
      [&](const format::ChunkRef& chunk, bool) -> Status {
        add(chunk.id, hits);
        if (part != nullptr) add(chunk.id, *part);
        return Done{};
      },
      [&](const format::ChunkRef& entries) {
        const auto [known, is_new] = parts_.try_emplace(entries.id);
        hits.insert(known->second.begin(), known->second.end());
        if (is_new) part = &known->second;
        return is_new;
      });
  if (visited) return Done{};
  // A chunk of entries of which only a part could be read is not known.
  if (part != nullptr)
    std::erase_if(parts_, [&](const auto& entry) { return &entry.second == part; });
  switch (visited.error().kind()) {
    case ErrorKind::not_found:
    case ErrorKind::corrupt:
    case ErrorKind::invalid: return Done{};  // Lost itself: what is behind it is not known.
    default: return visited;
  }
}

}  // namespace

Result<std::vector<Touched>> find_touched(
    const Catalog& catalog, const format::ChunkSource& source,
    const std::function<Result<Buffer>(const SnapshotId&)>& record,
    std::span<const std::set<ChunkId>> damages, const std::function<bool()>& is_stopping) {
  return Touching(catalog, source, record, damages, is_stopping).run();
}

}  // namespace lamina::origin
