// The ends of devices: out of service with the CVD archived, or erased with it.
//
// An erasure is one transaction that leaves no row of the device but what the erasure itself needs:
// which chunks it had sent and which snapshots there were, under keys of their own, so that from
// then on nobody else looks at them. A collection of garbage removes the content
// (origin/erasure.hpp) and then calls finish_erasure(): the ids of chunks that only this device had
// stay, for proofs.
#include "origin/catalog/device_rows.hpp"
#include "origin/catalog/secret.hpp"
#include "shared/codec/reader.hpp"

namespace lamina::origin {
namespace {

using wire::ErasureInfo;

constexpr std::string_view kErasedChunks = "erased-chunk/";
constexpr std::string_view kErasedSnapshots = "erased-snapshot/";

Result<ErasureInfo> load_erasure(const Rows& rows, const DeviceId& id) {
  return load(rows, place_of("erasure/", id), wire::parse_erasure_info,
              "nothing of device " + id.hex() +
                  " was erased; `lamina device decommission --erase` does it");
}
Status store_erasure(Rows& rows, const ErasureInfo& info) {
  return rows.put(place_of("erasure/", info.device), wire::to_json(info));
}

// Notes that all of the CVD goes, and takes its rows away.
Status begin_erasure(Rows& rows, const Act& act, const DeviceId& id, bool device_stays,
                     wire::DecommissionReply& reply) {
  auto before = load_erasure(rows, id);
  if (!before && before.error().kind() != ErrorKind::not_found)
    return fail(std::move(before.error()));
  if (before && before->state == wire::kErasurePending)
    return fail(ErrorKind::refused, "an erasure of device " + id.hex() +
                                        " is under way; `lamina device proof` says how far it is");
  // What is left of an earlier one is in the audit log.
  for (const std::string_view kind : {kErasedChunks, kErasedSnapshots})
    if (auto taken = take_rows(rows, id, kind); !taken) return fail(std::move(taken.error()));
  for (const std::string_view kind : kCvdRows) {
    // A device that stays has what it was assigned.
    if (kind == kDeviceLayers && device_stays) continue;
    auto taken = take_rows(rows, id, kind,
                           kind == kChunks        ? kErasedChunks
                           : kind == kSnapshotIds ? kErasedSnapshots
                                                  : std::string_view());
    if (!taken) return fail(std::move(taken.error()));
    if (kind == kChunks) reply.chunks = *taken;
    if (kind == kSnapshotIds) reply.snapshots = *taken;
  }
  return store_erasure(rows, {.device = id,
                              .state = std::string(wire::kErasurePending),
                              .device_stays = device_stays,
                              .by = act.actor,
                              .requested_ms = ms(act.now),
                              .snapshots = reply.snapshots,
                              .chunks = reply.chunks});
}

template <class Id>
Result<std::vector<Id>> ids_under(const Rows& rows, const std::string& place,
                                  const std::function<Result<Id>(std::string_view)>& parse) {
  std::vector<Id> ids;
  Status parsed = Done{};
  auto scanned = rows.scan(place, [&](std::string_view key, std::string_view) {
    auto id = parse(key.substr(place.size()));
    if (!id) return parsed = fail(corrupt_row(key)), false;
    ids.push_back(*id);
    return true;
  });
  if (!scanned) return fail(std::move(scanned.error()));
  if (!parsed) return fail(std::move(parsed.error()));
  return ids;
}

Result<Catalog::ErasedContent> load_content(const Rows& rows, const DeviceId& id) {
  auto chunks = ids_under<ChunkId>(rows, place_of(kErasedChunks, id), [](std::string_view bytes) {
    return ChunkId::from_bytes(as_view(bytes));
  });
  if (!chunks) return fail(std::move(chunks.error()));
  auto snapshots = ids_under<SnapshotId>(rows, place_of(kErasedSnapshots, id), SnapshotId::parse);
  if (!snapshots) return fail(std::move(snapshots.error()));
  return Catalog::ErasedContent{std::move(*chunks), std::move(*snapshots)};
}

template <class Id>
std::string digest_of(const std::vector<Id>& ids) {
  std::string bytes;
  for (const Id& id : ids) bytes += as_text(id.bytes());
  return sha256_hex(bytes);
}

}  // namespace

bool takes_uploads(const wire::DeviceInfo& device) { return device.cvd != wire::kCvdArchived; }

Result<bool> note_too_late(Rows& rows, const DeviceId& id, const std::vector<ChunkId>& chunks) {
  auto info = load_erasure(rows, id);
  if (!info) {
    if (info.error().kind() == ErrorKind::not_found) return false;
    return fail(std::move(info.error()));
  }
  for (const ChunkId& chunk : chunks)
    if (auto put = rows.put(place_of(kErasedChunks, id) + raw(chunk), ""); !put)
      return fail(std::move(put.error()));
  info->state = wire::kErasurePending;
  if (auto put = store_erasure(rows, *info); !put) return fail(std::move(put.error()));
  return true;
}

Result<wire::DecommissionReply> Catalog::decommission(const Act& act, const DeviceId& id,
                                                      const wire::DecommissionRequest& request) {
  using Reply = wire::DecommissionReply;
  const bool erase = request.cvd == "erase";
  if (!erase && request.cvd != "archive")
    return fail(ErrorKind::invalid,
                "the CVD of a decommissioned device is to be kept (archive) or "
                "erased (erase), not '" +
                    printable(request.cvd, 40) + "'");
  changed_devices_.insert(id);
  return writing<Reply>(table_, [&](Rows& rows) -> Result<Reply> {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (!erase && device->decommissioned_ms)
      return fail(ErrorKind::refused, "device " + id.hex() + " is decommissioned already");
    Reply reply{.device = id, .cvd = erase ? "erasing" : std::string(wire::kCvdArchived)};
    auto done = leave_collections(rows, id, reply.collections);
    if (done) done = leave_reflectors(rows, id, reply.sites);
    if (!done) return fail(std::move(done.error()));
    if (erase) {
      done = begin_erasure(rows, act, id, false, reply);
      for (const std::string_view kind : kDeviceRows)
        if (auto taken = done ? take_rows(rows, id, kind) : Result<std::int64_t>(0); !taken)
          done = fail(std::move(taken.error()));
    } else {
      for (const std::string_view kind : {kSnapshotIds, kChunks}) {
        auto keys = keys_of(rows, place_of(kind, id));
        if (!keys) return fail(std::move(keys.error()));
        (kind == kChunks ? reply.chunks : reply.snapshots) =
            static_cast<std::int64_t>(keys->size());
      }
      take_out_of_service(*device);
      device->decommissioned_ms = ms(act.now);
      device->cvd = std::string(wire::kCvdArchived);
      done = rows.erase("device-target/" + id.hex());
      if (done) done = store_device(rows, *device);
    }
    if (!done) return fail(std::move(done.error()));
    if (auto noted =
            append_audit(rows, act, "device.decommission", "device:" + id.hex(),
                         "cvd=" + request.cvd + " snapshots=" + std::to_string(reply.snapshots) +
                             " chunks=" + std::to_string(reply.chunks));
        !noted)
      return fail(std::move(noted.error()));
    return reply;
  });
}

Result<wire::DecommissionReply> Catalog::delete_cvd(const Act& act, const DeviceId& id) {
  using Reply = wire::DecommissionReply;
  return writing<Reply>(table_, [&](Rows& rows) -> Result<Reply> {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (device->cvd != wire::kCvdArchived)
      return fail(ErrorKind::refused,
                  "the CVD of device " + id.hex() + " is in use; `lamina cvd archive` first");
    Reply reply{.device = id, .cvd = "erasing"};
    if (auto done = begin_erasure(rows, act, id, true, reply); !done)
      return fail(std::move(done.error()));
    if (auto noted = append_audit(rows, act, "cvd.delete", "device:" + id.hex(),
                                  "snapshots=" + std::to_string(reply.snapshots) +
                                      " chunks=" + std::to_string(reply.chunks));
        !noted)
      return fail(std::move(noted.error()));
    return reply;
  });
}

Result<std::vector<ErasureInfo>> Catalog::erasures() const {
  return reading<std::vector<ErasureInfo>>(table_, [](const Rows& rows) {
    return load_all(rows, "erasure/", wire::parse_erasure_info);
  });
}

Result<ErasureInfo> Catalog::erasure(const DeviceId& id) const {
  return reading<ErasureInfo>(table_, [&](const Rows& rows) { return load_erasure(rows, id); });
}

Result<Catalog::ErasedContent> Catalog::erased_content(const DeviceId& id) const {
  return reading<ErasedContent>(table_, [&](const Rows& rows) { return load_content(rows, id); });
}

Result<std::map<std::string, std::uint64_t>> Catalog::rows_of(const DeviceId& id) const {
  using Counts = std::map<std::string, std::uint64_t>;
  return reading<Counts>(table_, [&](const Rows& rows) -> Result<Counts> {
    Counts counts;
    const auto count = [&](std::string_view kind) -> Status {
      auto keys = keys_of(rows, place_of(kind, id));
      if (!keys) return fail(std::move(keys.error()));
      counts[std::string(kind.substr(0, kind.size() - 1))] = keys->size();
      return Done{};
    };
    for (const std::string_view kind : kCvdRows)
      if (auto done = count(kind); !done) return fail(std::move(done.error()));
    for (const std::string_view kind : kDeviceRows)
      if (auto done = count(kind); !done) return fail(std::move(done.error()));
    auto collections = load_all(rows, "collection/", wire::parse_collection_info);
    if (!collections) return fail(std::move(collections.error()));
    for (const wire::CollectionInfo& collection : *collections)
      counts["collection"] +=
          collection.devices
              ? static_cast<std::uint64_t>(std::ranges::count(*collection.devices, id))
              : 0;
    return counts;
  });
}

Status Catalog::note_erasure_begun(const DeviceId& id, Bytes plain) {
  return table_.write([&](Rows& rows) -> Status {
    auto info = load_erasure(rows, id);
    if (!info) return fail(std::move(info.error()));
    info->plain_bytes = plain.count;
    return store_erasure(rows, *info);
  });
}

Status Catalog::finish_erasure(WallTime now, const DeviceId& id, const std::vector<ChunkId>& erased,
                               const std::vector<ChunkId>& shared) {
  return table_.write([&](Rows& rows) -> Status {
    auto info = load_erasure(rows, id);
    if (!info) return fail(std::move(info.error()));
    auto content = load_content(rows, id);
    if (!content) return fail(std::move(content.error()));
    if (content->chunks.size() != erased.size() + shared.size())
      return fail(ErrorKind::unavailable,
                  "more of device " + id.hex() + " came in while it was erased");
    for (const ChunkId& chunk : shared)
      if (auto gone = rows.erase(place_of(kErasedChunks, id) + raw(chunk)); !gone) return gone;
    if (auto taken = take_rows(rows, id, kErasedSnapshots); !taken)
      return fail(std::move(taken.error()));
    info->state = wire::kErased;
    info->erased_ms = ms(now);
    info->chunks = static_cast<std::int64_t>(content->chunks.size());
    info->chunks_erased = static_cast<std::int64_t>(erased.size());
    info->chunks_shared = static_cast<std::int64_t>(shared.size());
    // Later, after what came too late: of that alone nothing is known of snapshots.
    if (info->snapshots_digest.empty()) info->snapshots_digest = digest_of(content->snapshots);
    info->chunks_digest = digest_of(erased);
    if (auto put = store_erasure(rows, *info); !put) return put;
    return append_audit(rows, {"origin", now}, "cvd.erased", "device:" + id.hex(),
                        "snapshots=" + std::to_string(info->snapshots) +
                            " chunks=" + std::to_string(info->chunks_erased) +
                            " shared=" + std::to_string(info->chunks_shared) +
                            " bytes=" + std::to_string(info->plain_bytes) +
                            " snapshots_digest=" + info->snapshots_digest +
                            " chunks_digest=" + info->chunks_digest + " by=" + info->by);
  });
}

}  // namespace lamina::origin
