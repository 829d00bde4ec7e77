// CVDs that rest, that become another device's, and which returning machine may be whose.
#include <map>

#include "origin/catalog/device_rows.hpp"

namespace lamina::origin {
namespace {

using wire::DeviceInfo;
using wire::DeviceStatus;
using wire::MoveReply;
using wire::SnapshotInfo;

std::string archived_text() { return "its CVD is archived; `lamina cvd activate` has it go on"; }

void rest(DeviceInfo& device) {
  device.cvd = std::string(wire::kCvdArchived);
  device.uploads_wait = archived_text();
}

// Snapshots of both, in the order in which they were made. Who has a snapshot twice, by whatever
// way, has it once.
Result<std::vector<SnapshotInfo>> one_time_line(const Rows& rows, const DeviceId& from,
                                                const DeviceId& into) {
  auto line = load_all(rows, "snapshot/" + into.hex() + '/', wire::parse_snapshot_info);
  if (!line) return line;
  auto moved = load_all(rows, "snapshot/" + from.hex() + '/', wire::parse_snapshot_info);
  if (!moved) return moved;
  line->insert(line->end(), moved->begin(), moved->end());
  // Stable: of one moment, those of `into` come first, each in its order.
  std::ranges::stable_sort(*line, {}, &SnapshotInfo::created_ms);
  for (std::size_t i = 0; i < line->size(); ++i) (*line)[i].number = i + 1;
  return line;
}

// The rows under a kind go on under the same kind of `into`, where there are none such yet.
Result<std::int64_t> move_rows(Rows& rows, std::string_view kind, const DeviceId& from,
                               const DeviceId& into) {
  const std::string place = place_of(kind, from);
  auto keys = keys_of(rows, place);
  if (!keys) return fail(std::move(keys.error()));
  for (const std::string& key : *keys) {
    if (auto erased = rows.erase(key); !erased) return fail(std::move(erased.error()));
    // Empty: whatever a collection noted of the chunk, it is needed now.
    if (auto put = rows.put(place_of(kind, into) + key.substr(place.size()), ""); !put)
      return fail(std::move(put.error()));
  }
  return static_cast<std::int64_t>(keys->size());
}

// Lower case, without what people put around and between; empty for what names no machine: nothing,
// one digit all through, and what boards are sold with.
std::string machine_of(const std::string& uuid) {
  std::string plain;
  for (const char c : uuid) {
    if (c >= '0' && c <= '9') plain += c;
    if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) plain += static_cast<char>(c | 0x20);
  }
  if (plain.size() != 32 || plain.find_first_not_of(plain[0]) == std::string::npos ||
      plain == "03000200040005000006000700080009")
    return "";
  return plain;
}

bool is_in_service(const DeviceInfo& device) {
  return device.status == DeviceStatus::assigned || device.status == DeviceStatus::pending;
}

Status check_into(const DeviceInfo& into, const DeviceId& from) {
  if (into.id == from)
    return fail(ErrorKind::invalid, "a CVD goes to another device, not to its own");
  if (!is_in_service(into))
    return fail(ErrorKind::refused, "device " + into.id.hex() + " is " +
                                        std::string(wire::name_of(into.status)) +
                                        ": only a device in service takes a CVD over");
  if (into.cvd == wire::kCvdArchived)
    return fail(ErrorKind::refused,
                "the CVD of device " + into.id.hex() + " is archived; `lamina cvd activate` first");
  return Done{};
}

Status note_move(Rows& rows, const Act& act, const std::string& action, const MoveReply& reply) {
  return append_audit(rows, act, action, "device:" + reply.from.hex(),
                      "into=" + reply.into.hex() + " snapshots=" + std::to_string(reply.snapshots) +
                          " of=" + std::to_string(reply.total) +
                          " chunks=" + std::to_string(reply.chunks));
}

// Rows alone: who is allowed to is the caller's.
Status move_rows_of(Rows& rows, const DeviceId& from, const DeviceId& into, MoveReply& reply) {
  auto line = one_time_line(rows, from, into);
  if (!line) return fail(std::move(line.error()));
  reply.from = from;
  reply.into = into;
  reply.total = static_cast<std::int64_t>(line->size());
  auto before = take_rows(rows, into, "snapshot/");
  if (before) before = take_rows(rows, into, kSnapshotIds);
  if (!before) return fail(std::move(before.error()));
  reply.snapshots = reply.total - *before;
  for (const std::string_view kind : {std::string_view("snapshot/"), kSnapshotIds})
    if (auto taken = take_rows(rows, from, kind); !taken) return fail(std::move(taken.error()));
  for (const SnapshotInfo& snapshot : *line) {
    const std::string number = digits(snapshot.number);
    if (auto put = rows.put("snapshot/" + into.hex() + '/' + number, wire::to_json(snapshot)); !put)
      return put;
    if (auto put = rows.put(place_of(kSnapshotIds, into) + snapshot.id.hex(), number); !put)
      return put;
  }
  auto chunks = move_rows(rows, kChunks, from, into);
  if (!chunks) return fail(std::move(chunks.error()));
  reply.chunks = *chunks;
  if (auto layers = move_rows(rows, kDeviceLayers, from, into); !layers)
    return fail(std::move(layers.error()));
  auto moves = load_cvd_moves(rows, into);
  if (!moves) return fail(std::move(moves.error()));
  return rows.put(place_of("cvd-moves/", into), std::to_string(*moves + 1));
}

}  // namespace

Result<std::uint64_t> load_cvd_moves(const Rows& rows, const DeviceId& id) {
  const std::string key = place_of("cvd-moves/", id);
  auto value = rows.get(key);
  if (!value) return fail(std::move(value.error()));
  std::uint64_t number = 0;
  if (!*value) return number;
  const char* const end = (*value)->data() + (*value)->size();
  if (std::from_chars((*value)->data(), end, number).ptr != end) return fail(corrupt_row(key));
  return number;
}

Status move_archived(Rows& rows, const Act& act, const DeviceId& from, const DeviceId& into,
                     MoveReply& reply) {
  auto old = load_device(rows, from);
  if (!old) return fail(std::move(old.error()));
  auto device = load_device(rows, into);
  if (!device) return fail(std::move(device.error()));
  if (auto good = check_into(*device, from); !good) return good;
  if (old->cvd != wire::kCvdArchived)
    return fail(ErrorKind::refused, "the CVD of device " + from.hex() +
                                        " is in use; `lamina cvd archive` or `lamina device "
                                        "decommission --archive` first");
  if (auto done = move_rows_of(rows, from, into, reply); !done) return done;
  reply.is_out = old->decommissioned_ms.has_value();
  old->successor = into;
  if (auto put = store_device(rows, *old); !put) return put;
  return note_move(rows, act, "cvd.reassign", reply);
}

Status Catalog::archive_cvd(const Act& act, const DeviceId& id, bool archived) {
  changed_devices_.insert(id);
  return table_.write([&](Rows& rows) -> Status {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if ((device->cvd == wire::kCvdArchived) == archived) return Done{};
    if (device->decommissioned_ms)
      return fail(ErrorKind::refused, "device " + id.hex() +
                                          " is decommissioned: its CVD stays archived, or goes to "
                                          "another device (`lamina cvd reassign`)");
    if (archived) {
      rest(*device);
    } else {
      device->cvd.reset();
      device->uploads_wait.reset();
    }
    if (auto put = store_device(rows, *device); !put) return put;
    return append_audit(rows, act, archived ? "cvd.archive" : "cvd.activate", "device:" + id.hex(),
                        "");
  });
}

Status Catalog::set_reference(const Act& act, const DeviceId& id, bool reference) {
  return table_.write([&](Rows& rows) -> Status {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (device->status != DeviceStatus::assigned)
      return fail(ErrorKind::refused, "device " + id.hex() + " is " +
                                          std::string(wire::name_of(device->status)) +
                                          "; place it with `lamina device assign` first");
    if (device->reference.value_or(false) == reference) return Done{};
    device->reference = reference ? std::optional(true) : std::nullopt;
    if (auto put = store_device(rows, *device); !put) return put;
    return append_audit(rows, act, "device.reference", "device:" + id.hex(),
                        reference ? "on" : "off");
  });
}

Result<MoveReply> Catalog::reassign_cvd(const Act& act, const DeviceId& from,
                                        const wire::MoveRequest& request) {
  changed_devices_.insert(request.into);
  return writing<MoveReply>(table_, [&](Rows& rows) -> Result<MoveReply> {
    MoveReply reply;
    if (auto done = move_archived(rows, act, from, request.into, reply); !done)
      return fail(std::move(done.error()));
    return reply;
  });
}

Result<MoveReply> Catalog::merge_device(const Act& act, const DeviceId& from,
                                        const wire::MoveRequest& request) {
  changed_devices_.insert(from);
  changed_devices_.insert(request.into);
  return writing<MoveReply>(table_, [&](Rows& rows) -> Result<MoveReply> {
    auto old = load_device(rows, from);
    if (!old) return fail(std::move(old.error()));
    auto device = load_device(rows, request.into);
    if (!device) return fail(std::move(device.error()));
    if (auto good = check_into(*device, from); !good) return fail(std::move(good.error()));
    const auto one = machine_of(old->hardware_uuid), other = machine_of(device->hardware_uuid);
    if (one != other && !request.force)
      return fail(ErrorKind::refused,
                  "they do not look like one machine: device " + from.hex() +
                      " has hardware UUID '" + printable(old->hardware_uuid, 64) + "', device " +
                      request.into.hex() + " '" + printable(device->hardware_uuid, 64) +
                      "'; --force merges them all the same");
    MoveReply reply;
    if (auto done = move_rows_of(rows, from, request.into, reply); !done)
      return fail(std::move(done.error()));
    reply.is_out = true;
    auto done = leave_collections(rows, from, reply.collections, request.into);
    if (done) done = leave_reflectors(rows, from, reply.sites);
    if (done) done = rows.erase("device-target/" + from.hex());
    if (!done) return fail(std::move(done.error()));
    take_out_of_service(*old);
    old->decommissioned_ms = ms(act.now);
    rest(*old);
    old->successor = request.into;
    if (auto put = store_device(rows, *old); !put) return fail(std::move(put.error()));
    if (auto noted = note_move(rows, act, "device.merge", reply); !noted)
      return fail(std::move(noted.error()));
    return reply;
  });
}

Result<std::uint64_t> Catalog::cvd_moves(const DeviceId& id) const {
  return reading<std::uint64_t>(table_, [&](const Rows& rows) { return load_cvd_moves(rows, id); });
}

Result<std::vector<wire::CvdProposal>> Catalog::proposals() const {
  using List = std::vector<wire::CvdProposal>;
  return reading<List>(table_, [](const Rows& rows) -> Result<List> {
    auto devices = load_all(rows, "device/", wire::parse_device_info);
    if (!devices) return fail(std::move(devices.error()));
    std::map<std::string, std::vector<const DeviceInfo*>> machines;
    for (const DeviceInfo& device : *devices)
      if (const std::string machine = machine_of(device.hardware_uuid); !machine.empty())
        machines[machine].push_back(&device);
    List list;
    for (const auto& [machine, same] : machines) {
      if (same.size() < 2) continue;
      std::map<DeviceId, std::vector<SnapshotInfo>> snapshots;
      for (const DeviceInfo* device : same) {
        auto all = load_all(rows, "snapshot/" + device->id.hex() + '/', wire::parse_snapshot_info);
        if (!all) return fail(std::move(all.error()));
        snapshots[device->id] = std::move(*all);
      }
      for (const DeviceInfo* device : same) {
        if (!is_in_service(*device) || !snapshots[device->id].empty()) continue;
        for (const DeviceInfo* old : same) {
          const auto& kept = snapshots[old->id];
          if (old == device || kept.empty()) continue;
          const bool is_archived = old->cvd == wire::kCvdArchived;
          list.push_back({.device = device->id,
                          .host_name = device->host_name,
                          .cvd = old->id,
                          .cvd_host_name = old->host_name,
                          .hardware_uuid = old->hardware_uuid,
                          .snapshots = static_cast<std::int64_t>(kept.size()),
                          .newest_ms = kept.back().created_ms,
                          .state = is_archived ? std::string(wire::kCvdArchived)
                                               : std::string(wire::name_of(old->status)),
                          .seen_ms = old->seen_ms,
                          .confirm = is_archived ? "lamina cvd reassign " + old->id.hex() +
                                                       " --to " + device->id.hex()
                                                 : "lamina device merge " + old->id.hex() +
                                                       " --into " + device->id.hex()});
        }
      }
    }
    return list;
  });
}

}  // namespace lamina::origin
