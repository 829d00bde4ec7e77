#include "origin/catalog/rows.hpp"
#include "shared/codec/reader.hpp"

namespace lamina::origin {
namespace {

using wire::SnapshotInfo;

std::string cvd_key(const DeviceId& id, const ChunkId& chunk) {
  return "cvd-chunk/" + id.hex() + raw(chunk);
}

Result<bool> has(const Rows& rows, const std::string& key) {
  auto value = rows.get(key);
  if (!value) return fail(std::move(value.error()));
  return value->has_value();
}

// What begins the keys of chunks that the device may have: its own, and those of layers that the
// origin assigned to it. What a device says it has applied must not open a layer. Also those it was
// assigned before: its snapshots, and what it has applied still, rest on them. `removed`: those
// that were taken out of the catalogue, too.
Result<std::vector<std::string>> places_of(const Rows& rows, const DeviceId& id, bool removed) {
  if (auto device = load_device(rows, id); !device) return fail(std::move(device.error()));
  std::vector<std::string> layers;
  const std::string assigned = device_layer_prefix(id);
  auto scanned = rows.scan(assigned, [&](std::string_view key, std::string_view) {
    layers.emplace_back(key.substr(assigned.size()));
    return true;
  });
  if (!scanned) return fail(std::move(scanned.error()));
  std::vector<std::string> places{"cvd-chunk/" + id.hex()};
  for (const std::string& layer : layers) {
    auto listed = removed ? Result<bool>(true) : has(rows, "layer/" + layer);
    if (!listed) return fail(std::move(listed.error()));
    if (*listed) places.push_back("layer-chunk/" + layer);
  }
  return places;
}

Status closed(const wire::DeviceInfo& device) {
  return fail(ErrorKind::refused, "the CVD of device " + device.id.hex() +
                                      " is archived: nothing is added to it until `lamina cvd "
                                      "activate`");
}

struct Found {
  std::vector<ChunkId> lacking;
  std::vector<std::string> unneeded;  // Rows that say so of chunks that are here.
};

Result<Found> find(const Rows& rows, const std::vector<std::string>& places,
                   const std::vector<ChunkId>& ids) {
  Found found;
  for (const ChunkId& chunk : ids) {
    bool is_here = false;
    for (const std::string& place : places) {
      const std::string key = place + raw(chunk);
      auto value = rows.get(key);
      if (!value) return fail(std::move(value.error()));
      if (!(is_here = value->has_value())) continue;
      if (!(*value)->empty()) found.unneeded.push_back(key);
      break;
    }
    if (!is_here) found.lacking.push_back(chunk);
  }
  return found;
}

}  // namespace

Result<std::vector<ChunkId>> Catalog::lacks(const DeviceId& id, const std::vector<ChunkId>& ids) {
  const auto look = [&](const Rows& rows) -> Result<Found> {
    auto places = places_of(rows, id, false);
    if (!places) return fail(std::move(places.error()));
    return find(rows, *places, ids);
  };
  auto found = reading<Found>(table_, look);
  // Rare: most of what a device asks for is needed by its last snapshot, and nothing is written.
  if (found && !found->unneeded.empty())
    found = writing<Found>(table_, [&](Rows& rows) -> Result<Found> {
      auto again = look(rows);  // A collection may have been faster.
      if (!again) return again;
      for (const std::string& key : again->unneeded)
        if (auto put = rows.put(key, ""); !put) return fail(std::move(put.error()));
      return again;
    });
  if (!found) return fail(std::move(found.error()));
  return std::move(found->lacking);
}

Result<std::vector<ChunkId>> Catalog::unreadable(const DeviceId& id,
                                                 const std::vector<ChunkId>& ids) const {
  auto found = reading<Found>(table_, [&](const Rows& rows) -> Result<Found> {
    auto places = places_of(rows, id, true);
    if (!places) return fail(std::move(places.error()));
    return find(rows, *places, ids);
  });
  if (!found) return fail(std::move(found.error()));
  return std::move(found->lacking);
}

Status Catalog::link_chunks(const DeviceId& id, const std::vector<ChunkId>& ids) {
  bool is_late = false;
  auto done = table_.write([&](Rows& rows) -> Status {
    auto device = load_device(rows, id);
    if (!device && device.error().kind() == ErrorKind::not_found) {
      auto late = note_too_late(rows, id, ids);
      if (late && (is_late = *late)) return Done{};
      return late ? Status(fail(std::move(device.error()))) : fail(std::move(late.error()));
    }
    if (!device) return fail(std::move(device.error()));
    if (!takes_uploads(*device)) return closed(*device);
    for (const ChunkId& chunk : ids)
      if (auto put = rows.put(cvd_key(id, chunk), ""); !put) return put;
    return Done{};
  });
  if (done && is_late) return fail(ErrorKind::refused, "device " + id.hex() + " was erased");
  return done;
}

Status Catalog::unlink_chunks(const Act& act, const DeviceId& id, const std::vector<ChunkId>& ids) {
  return table_.write([&](Rows& rows) -> Status {
    for (const ChunkId& chunk : ids)
      if (auto erased = rows.erase(cvd_key(id, chunk)); !erased) return erased;
    return append_audit(rows, act, "cvd.chunks-lost", "device:" + id.hex(),
                        "chunks=" + std::to_string(ids.size()));
  });
}

Result<bool> Catalog::cvd_has(const DeviceId& id, const ChunkId& chunk) const {
  return reading<bool>(table_, [&](const Rows& rows) { return has(rows, cvd_key(id, chunk)); });
}

Result<SnapshotInfo> Catalog::add_snapshot(const Act& act, const DeviceId& id,
                                           SnapshotInfo snapshot) {
  return writing<SnapshotInfo>(table_, [&](Rows& rows) -> Result<SnapshotInfo> {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    const std::string place = "snapshot/" + id.hex() + "/";
    const std::string by_id = "snapshot-id/" + id.hex() + snapshot.id.hex();
    auto known = rows.get(by_id);
    if (!known) return fail(std::move(known.error()));
    if (*known)
      return load(rows, place + **known, wire::parse_snapshot_info, "a snapshot's row is missing");
    if (!takes_uploads(*device)) return fail(std::move(closed(*device).error()));

    auto last = rows.last_key(place);
    if (!last) return fail(std::move(last.error()));
    snapshot.number = 1;
    if (*last) {
      auto before = load(rows, **last, wire::parse_snapshot_info, "a snapshot's row is missing");
      if (!before) return before;
      snapshot.number = before->number + 1;
    }
    const std::string number = digits(snapshot.number);
    if (auto put = rows.put(place + number, wire::to_json(snapshot)); !put)
      return fail(std::move(put.error()));
    if (auto put = rows.put(by_id, number); !put) return fail(std::move(put.error()));
    if (auto noted = append_audit(rows, act, "cvd.snapshot", "device:" + id.hex(),
                                  "snapshot=" + snapshot.id.hex());
        !noted)
      return fail(std::move(noted.error()));
    return snapshot;
  });
}

Result<std::vector<SnapshotInfo>> Catalog::snapshots(const DeviceId& id) const {
  return reading<std::vector<SnapshotInfo>>(
      table_, [&](const Rows& rows) -> Result<std::vector<SnapshotInfo>> {
        if (auto device = load_device(rows, id); !device) return fail(std::move(device.error()));
        return load_all(rows, "snapshot/" + id.hex() + "/", wire::parse_snapshot_info);
      });
}

Result<bool> Catalog::has_snapshot(const DeviceId& id, const SnapshotId& snapshot) const {
  return reading<bool>(table_, [&](const Rows& rows) -> Result<bool> {
    std::set<DeviceId> asked;
    for (std::optional<DeviceId> at = id; at && asked.insert(*at).second;) {
      auto known = has(rows, "snapshot-id/" + at->hex() + snapshot.hex());
      if (!known || *known) return known;
      auto device = load_device(rows, *at);
      if (!device && device.error().kind() != ErrorKind::not_found)
        return fail(std::move(device.error()));
      at = device ? device->successor : std::nullopt;
    }
    return false;
  });
}

Result<std::optional<SnapshotInfo>> Catalog::newest_snapshot(const DeviceId& id) const {
  using Newest = std::optional<SnapshotInfo>;
  return reading<Newest>(table_, [&](const Rows& rows) -> Result<Newest> {
    auto last = rows.last_key("snapshot/" + id.hex() + "/");
    if (!last) return fail(std::move(last.error()));
    if (!*last) return Newest{};
    auto newest = load(rows, **last, wire::parse_snapshot_info, "a snapshot's row is missing");
    if (!newest) return fail(std::move(newest.error()));
    return Newest{std::move(*newest)};
  });
}

Result<std::vector<wire::CvdInfo>> Catalog::cvds() const {
  using Cvds = std::vector<wire::CvdInfo>;
  return reading<Cvds>(table_, [](const Rows& rows) -> Result<Cvds> {
    auto devices = load_all(rows, "device/", wire::parse_device_info);
    if (!devices) return fail(std::move(devices.error()));
    Cvds cvds;
    for (const wire::DeviceInfo& device : *devices) {
      auto list = load_all(rows, "snapshot/" + device.id.hex() + "/", wire::parse_snapshot_info);
      if (!list) return fail(std::move(list.error()));
      if (list->empty()) continue;
      cvds.push_back({device.id, device.host_name, static_cast<std::int64_t>(list->size()),
                      list->back().created_ms, device.cvd});
    }
    return cvds;
  });
}

Status Catalog::for_each_need(const std::function<void(const ChunkNeed&)>& visit) const {
  // <prefix><id, hex><chunk, raw>
  const auto scan = [&](const Rows& rows, std::string_view prefix, std::size_t id_size,
                        const auto& take) -> Status {
    Status parsed = Done{};
    auto scanned = rows.scan(prefix, [&](std::string_view key, std::string_view) {
      const std::string_view id = key.substr(prefix.size(), 2 * id_size);
      Reader chunk(as_view(key.substr(std::min(key.size(), prefix.size() + 2 * id_size))));
      const auto chunk_id = chunk.id<ChunkId>();
      if (!chunk.finished() || !take(id, chunk_id)) parsed = fail(corrupt_row(key));
      return parsed.has_value();
    });
    return scanned ? parsed : scanned;
  };
  return table_.read([&](const Rows& rows) -> Status {
    auto layers = scan(rows, "layer-chunk/", LayerId::kSize,
                       [&](std::string_view text, const ChunkId& chunk) {
                         const auto id = LayerId::parse(text);
                         if (id) visit({chunk, *id, {}});
                         return id.has_value();
                       });
    if (!layers) return layers;
    return scan(rows, "cvd-chunk/", DeviceId::kSize,
                [&](std::string_view text, const ChunkId& chunk) {
                  const auto id = DeviceId::parse(text);
                  if (id) visit({chunk, {}, *id});
                  return id.has_value();
                });
  });
}

}  // namespace lamina::origin
