#include "origin/catalog/device_rows.hpp"
#include "origin/catalog/rules.hpp"
#include "origin/catalog/secret.hpp"
#include "origin/catalog/traffic.hpp"

namespace lamina::origin {
namespace {

using wire::DeviceInfo;
using wire::DeviceStatus;

constexpr std::int64_t kSeenEveryMs = std::int64_t{3600} * 1000;

// Takes one use off the enrolment token; gives back what it says about the device.
Result<wire::TokenInfo> spend_token(Rows& rows, const std::string& secret, std::int64_t now_ms) {
  const std::string key = "token/" + sha256_hex(secret);
  auto token = load(rows, key, wire::parse_token_info, "unknown");
  const bool known = token.has_value();
  if (!known && token.error().kind() != ErrorKind::not_found) return token;
  if (!known || token->kind != "enrol")
    return fail(ErrorKind::refused,
                "the enrolment token is unknown or revoked; ask for a new one (`lamina token "
                "create --kind enrol`)");
  if (token->expires_ms <= now_ms)
    return fail(ErrorKind::refused, "enrolment token '" + token->name +
                                        "' has expired; ask for a new one (`lamina token create`)");
  if (token->uses_left < 1)
    return fail(ErrorKind::refused, "enrolment token '" + token->name +
                                        "' is used up; ask for a new one (`lamina token create`)");
  --token->uses_left;
  if (auto put = rows.put(key, wire::to_json(*token)); !put) return fail(std::move(put.error()));
  return token;
}

// Loads a device, lets `change` alter it, stores it and audits.
template <class Change>
Status change_device(Table& table, const Act& act, const DeviceId& id, const std::string& action,
                     const std::string& detail, const Change& change) {
  return table.write([&](Rows& rows) -> Status {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (Status done = change(rows, *device); !done) return done;
    if (auto put = store_device(rows, *device); !put) return put;
    return append_audit(rows, act, action, "device:" + id.hex(), detail);
  });
}

Status gone(const DeviceInfo& device) {
  return fail(ErrorKind::refused, "device " + device.id.hex() +
                                      " is decommissioned; enrol the machine again with a new "
                                      "token");
}

Result<std::uint64_t> load_epoch(const Rows& rows, const std::string& site) {
  const std::string key = "epoch/" + site;
  auto value = rows.get(key);
  if (!value) return fail(std::move(value.error()));
  auto floor = load_floor(rows);
  if (!floor) return floor;
  std::uint64_t epoch = 0;
  if (!*value) return *floor;
  const char* end = (*value)->data() + (*value)->size();
  if (std::from_chars((*value)->data(), end, epoch).ptr != end) return fail(corrupt_row(key));
  return std::max(epoch, *floor);
}

std::string transaction_prefix(const DeviceId& id) { return "transaction/" + id.hex() + '/'; }

// Appends to the device's transactions and drops the oldest over the limit. Whether the report is
// new: a device whose line failed sends one again, and does not know that it was taken.
Result<bool> add_transaction(Rows& rows, const DeviceId& id, const wire::Report& report) {
  const std::string text = wire::to_json(report), prefix = transaction_prefix(id);
  std::vector<std::string> keys;
  bool is_known = false;
  auto scanned = rows.scan(prefix, [&](std::string_view key, std::string_view value) {
    keys.emplace_back(key);
    is_known = value == text;
    return !is_known;
  });
  if (!scanned) return fail(std::move(scanned.error()));
  if (is_known) return false;
  std::uint64_t number = 1;
  if (!keys.empty()) {
    const char* end = keys.back().data() + keys.back().size();
    if (std::from_chars(keys.back().data() + prefix.size(), end, number, 16).ptr != end)
      return fail(corrupt_row(keys.back()));
    ++number;
  }
  if (auto put = rows.put(prefix + digits(number), text); !put) return fail(std::move(put.error()));
  for (std::size_t i = 0; i + wire::kTransactionsMax <= keys.size(); ++i)
    if (auto gone = rows.erase(keys[i]); !gone) return fail(std::move(gone.error()));
  return true;
}

}  // namespace

void take_out_of_service(DeviceInfo& device) {
  device.status = DeviceStatus::rejected;
  device.site.clear();
  device.target.clear();
  device.staged.reset();
  device.waiting.reset();
  device.placed.reset();
}

Result<DeviceInfo> Catalog::enrol(WallTime now, const wire::EnrolRequest& request, DeviceId id,
                                  const std::string& key_fingerprint) {
  return writing<DeviceInfo>(table_, [&](Rows& rows) -> Result<DeviceInfo> {
    auto token = spend_token(rows, request.token, ms(now));
    if (!token) return fail(std::move(token.error()));
    const bool placed = !token->site.empty();
    DeviceInfo device{.id = id,
                      .status = placed ? DeviceStatus::assigned : DeviceStatus::pending,
                      .site = token->site,
                      .host_name = printable(request.host_name, 60),
                      .hardware_uuid = request.hardware_uuid,
                      .node_version = request.node_version,
                      .attributes = request.attributes,
                      .enrolled_ms = ms(now)};
    if (placed) device.placed = "token";
    if (auto put = store_device(rows, device); !put) return fail(std::move(put.error()));
    if (auto put = rows.put("device-key/" + id.hex(), key_fingerprint); !put)
      return fail(std::move(put.error()));
    if (auto noted = append_audit(rows, {"device:" + id.hex(), now}, "device.enrol",
                                  "device:" + id.hex(), "token=" + token->name);
        !noted)
      return fail(std::move(noted.error()));
    if (!token->cvd) return device;
    // Who made the token confirmed whose CVD it is.
    wire::MoveReply moved;
    if (auto done = move_archived(rows, {"device:" + id.hex(), now}, *token->cvd, id, moved); !done)
      return fail(std::move(done.error()).in("the token's CVD"));
    return device;
  });
}

Result<DeviceInfo> Catalog::device(const DeviceId& id) const {
  return reading<DeviceInfo>(table_, [&](const Rows& rows) { return load_device(rows, id); });
}

Result<std::vector<DeviceInfo>> Catalog::devices() const {
  return reading<std::vector<DeviceInfo>>(
      table_, [](const Rows& rows) { return load_all(rows, "device/", wire::parse_device_info); });
}

Result<std::vector<DeviceInfo>> Catalog::devices_after(const std::optional<DeviceId>& after,
                                                       std::size_t most) const {
  constexpr std::string_view kDevices = "device/";
  // What follows a key at once is that key and a zero byte.
  const std::string from = after ? std::string(kDevices) + after->hex() + '\0' : "";
  return reading<std::vector<DeviceInfo>>(table_, [&](const Rows& rows) {
    return load_some(rows, kDevices, from, most, wire::parse_device_info);
  });
}

Result<std::string> Catalog::key_fingerprint(const DeviceId& id) const {
  return reading<std::string>(table_, [&](const Rows& rows) -> Result<std::string> {
    auto value = rows.get("device-key/" + id.hex());
    if (!value) return fail(std::move(value.error()));
    if (!*value) return fail(ErrorKind::not_found, "device " + id.hex() + " is not enrolled");
    return std::move(**value);
  });
}

Status Catalog::place_device(const Act& act, const DeviceId& id, const std::string& site) {
  changed_devices_.insert(id);
  return change_device(
      table_, act, id, "device.assign", site.empty() ? "by its network" : "site=" + site,
      [&](Rows& rows, DeviceInfo& device) -> Status {
        if (device.decommissioned_ms) return gone(device);
        if (device.status == DeviceStatus::rejected)
          return fail(ErrorKind::refused,
                      "device " + id.hex() + " was rejected; enrol it again with a new token");
        device.waiting.reset();
        device.placed.reset();
        device.site = site;
        device.status = DeviceStatus::pending;
        if (site.empty()) return Done{};
        if (auto known = load_site(rows, site); !known) return fail(std::move(known.error()));
        device.status = DeviceStatus::assigned;
        device.placed = "hand";
        return Done{};
      });
}

Status Catalog::place_by_network(const Act& act, const DeviceId& id, const std::string& site) {
  changed_devices_.insert(id);
  return change_device(table_, act, id, "device.place", "site=" + site,
                       [&](Rows& rows, DeviceInfo& device) -> Status {
                         if (auto known = load_site(rows, site); !known)
                           return fail(std::move(known.error()));
                         if (device.site != site) device.placed = "network";
                         device.status = DeviceStatus::assigned;
                         device.site = site;
                         device.waiting.reset();
                         return Done{};
                       });
}

Status Catalog::keep_waiting(const Act& act, const DeviceId& id, const std::string& why) {
  changed_devices_.insert(id);
  return change_device(table_, act, id, "device.wait", why,
                       [&](Rows&, DeviceInfo& device) -> Status {
                         device.waiting = why;
                         return Done{};
                       });
}

Status Catalog::reject_device(const Act& act, const DeviceId& id) {
  changed_devices_.insert(id);
  return change_device(table_, act, id, "device.reject", "",
                       [&](Rows& rows, DeviceInfo& device) -> Status {
                         if (device.decommissioned_ms) return gone(device);
                         take_out_of_service(device);
                         return rows.erase("device-target/" + id.hex());
                       });
}

Status Catalog::certificate_issued(const Act& act, const DeviceId& id, std::int64_t expires_ms) {
  return change_device(table_, act, id, "device.certificate", std::to_string(expires_ms),
                       [&](Rows&, DeviceInfo& device) -> Status {
                         device.certificate_expires_ms = expires_ms;
                         return Done{};
                       });
}

Status Catalog::note_poll(const DeviceId& id, const wire::PollRequest& poll, WallTime now,
                          const std::string& public_address) {
  const auto missing = [&] {
    std::int64_t bytes = 0;
    for (const wire::Want& want : poll.wants)
      bytes = want.missing_bytes > INT64_MAX - bytes ? INT64_MAX : bytes + want.missing_bytes;
    return bytes;
  }();
  // Told apart by reading first: an idle fleet polls all day and must not write all day.
  std::optional<DeviceInfo> changed;
  BytesBySource received;
  auto looked = table_.read([&](const Rows& rows) -> Status {
    auto before = load_device(rows, id);
    if (!before) return fail(std::move(before.error()));
    DeviceInfo after = *before;
    after.applied_sequence = poll.applied_sequence;
    after.node_version = poll.node_version;
    // Before its first answer a device does not know its address: it has the one from before.
    if (!poll.lan_address.empty()) after.lan_address = poll.lan_address;
    if (!public_address.empty()) after.public_address = public_address;
    after.swarm_port = poll.swarm_port;
    after.relay_port = poll.relay_port;
    after.missing_bytes = missing;
    after.layers = poll.layers;
    after.unfit = poll.unfit;
    after.restart_due = poll.restart_due;
    if (poll.hardware) after.hardware = poll.hardware;
    after.applied.clear();
    for (const LayerId& layer : poll.applied) {
      auto info = load(rows, "layer/" + layer.hex(), wire::parse_layer_info, "unknown layer");
      after.applied.push_back(info ? full_name(*info) : layer.hex());
    }
    if (std::abs(ms(now) - after.seen_ms) >= kSeenEveryMs) after.seen_ms = ms(now);
    if (poll.bytes && !after.site.empty()) received = take_new(after.bytes, *poll.bytes);
    if (wire::to_json(after) != wire::to_json(*before)) changed = std::move(after);
    return Done{};
  });
  if (!looked || !changed) return looked;
  return table_.write([&](Rows& rows) -> Status {
    if (auto done = add_site_bytes(rows, now, changed->site, received); !done) return done;
    return store_device(rows, *changed);
  });
}

Status Catalog::add_report(const Act& act, const DeviceId& id, const wire::Report& report) {
  return table_.write([&](Rows& rows) -> Status {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    auto is_new = add_transaction(rows, id, report);
    if (!is_new) return fail(std::move(is_new.error()));
    if (!*is_new) return Done{};
    device->last_report = report;
    device->last_report->scripts.reset();
    if (auto put = store_device(rows, *device); !put) return put;
    return append_audit(rows, act, "device.report", "device:" + id.hex(),
                        report.operation + (report.ok ? " ok" : " failed: " + report.text));
  });
}

Result<std::vector<wire::Report>> Catalog::transactions(const DeviceId& id) const {
  using List = std::vector<wire::Report>;
  return reading<List>(table_, [&](const Rows& rows) -> Result<List> {
    if (auto device = load_device(rows, id); !device) return fail(std::move(device.error()));
    return load_all(rows, transaction_prefix(id), wire::parse_report);
  });
}

Result<std::uint64_t> Catalog::lease_epoch(const std::string& site) const {
  return reading<std::uint64_t>(table_, [&](const Rows& rows) { return load_epoch(rows, site); });
}

Status Catalog::note_lease_epoch(const Act& act, const std::string& site, const DeviceId& device,
                                 std::uint64_t epoch) {
  return table_.write([&](Rows& rows) -> Status {
    auto newest = load_epoch(rows, site);
    if (!newest) return fail(std::move(newest.error()));
    if (epoch <= *newest)
      return fail(ErrorKind::refused, "lease epoch " + std::to_string(epoch) + " of site " + site +
                                          " was granted before; the newest is " +
                                          std::to_string(*newest));
    if (auto put = rows.put("epoch/" + site, std::to_string(epoch)); !put) return put;
    return append_audit(rows, act, "lease.grant", site,
                        "device=" + device.hex() + " epoch=" + std::to_string(epoch));
  });
}

}  // namespace lamina::origin
