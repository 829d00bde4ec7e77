// What damage touches: which layers, devices and snapshots need chunks that cannot be had.
#pragma once

#include <functional>
#include <set>
#include <span>

#include "origin/catalog/catalog.hpp"
#include "shared/format/manifest.hpp"

namespace lamina::origin {

struct Touched {
  struct Snapshot {
    DeviceId device;
    SnapshotId id;
    std::uint64_t number = 0;  // As administrators see it.
    auto operator<=>(const Snapshot&) const = default;
  };
  std::set<LayerId> layers;
  // They sent such a chunk, or a snapshot of theirs needs one; not those that have such a layer.
  std::set<DeviceId> devices;
  std::set<Snapshot> snapshots;
};

// For each of several damages, given by its chunks. `source` reads chunks of manifests, `record` a
// snapshot's record: a snapshot of which either cannot be read is touched by what of its manifest
// is known to be lost. (slow): reads all needs of the catalogue, and the manifests of devices that
// are touched, each chunk of entries once a device. `is_stopping` ends it with `unavailable`.
Result<std::vector<Touched>> find_touched(
    const Catalog& catalog, const format::ChunkSource& source,
    const std::function<Result<Buffer>(const SnapshotId&)>& record,
    std::span<const std::set<ChunkId>> damages, const std::function<bool()>& is_stopping = {});

}  // namespace lamina::origin
