// How the catalogue's facts lie in rows; private to the .cpp files of this folder.
//
//   device/<hex>            DeviceInfo           device-key/<hex>        fingerprint
//   device-target/<hex>     signed target        site/<name>             SiteInfo
//   device-layer/<hex>/<hex>  (empty): it was assigned once
//   epoch/<site>            decimal number       layer/<hex>             LayerInfo
//   layer-name/<name>:<v>   layer id, hex        layer-chunk/<hex><raw>  (empty)
//   bandwidth-rules         CSV, all of them     member-list/<site>      signed member list
//   token/<sha256>          TokenInfo            token-name/<name>       sha256
//   site-bytes/<site>       ByteCounts           site-day/<site>/<day>   ByteCounts
//   site-rate/<site>/<day>  bits per second
//   transaction/<hex>/<number>  Report
//   alert/<kind>/<object>   AlertInfo
//   cvd-chunk/<hex><raw>    (empty), or since when nothing needs it: garbage.cpp
//                                                snapshot/<hex>/<number> SnapshotInfo
//   snapshot-id/<hex><hex>  number               audit/<number>          AuditEntry
//   seeder/<hex>            SeederInfo           seeder-key/<hex>        fingerprint
//   seeder-name/<name>      id, hex
//   rollout/<name>          RolloutInfo          rollout-device/<name>/<hex>  RolloutDevice
//   journal                 of journal.hpp       restored                decimal number
//   retention               RetentionRule        retention/<hex>         RetentionRule
//   collection/<name>       CollectionInfo       driver-rule/<layer's name>  DriverRule
//   policy/<name>           PolicyInfo, newest   policy-version/<name>/<number>  PolicyInfo
//   policy-assigned/device/<hex>, policy-assigned/collection/<name>  PolicyAssignment
//   layer-removed/<name>:<v>  layer id, hex: the version is not given again
//   erasure/<hex>           ErasureInfo          erased-chunk/<hex><raw>     (empty)
//   erased-snapshot/<hex><hex>  (empty)
//   cvd-moves/<hex>         decimal number       quota/device/<hex>, quota/collection/<name>
//   QuotaRule collected/<milliseconds>  bytes of packs that a collection of garbage removed then
//
// Messages are stored as the JSON of shared/wire, numbers in keys as 16 hex digits so that byte
// order is number order. Names hold no '/' or ':' (rules.hpp), so no key is a prefix by accident.
#pragma once

#include <algorithm>
#include <charconv>
#include <limits>

#include "origin/catalog/catalog.hpp"
#include "origin/catalog/driver_rules.hpp"

namespace lamina::origin {

inline std::string digits(std::uint64_t number) {
  std::string text(16, '0');
  for (std::size_t i = text.size(); i-- > 0; number >>= 4)
    text[i] = "0123456789abcdef"[number & 15];
  return text;
}
inline std::string raw(const ChunkId& id) { return std::string(as_text(id.bytes())); }
inline std::string full_name(const wire::LayerInfo& layer) {
  return layer.name + ":" + layer.version;
}
inline std::int64_t ms(WallTime time) { return time.ns / 1'000'000; }

// With commas, as in the audit log.
inline std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : ",") + text;
  return all;
}

inline Error corrupt_row(std::string_view key) {
  return Error(ErrorKind::corrupt,
               "row '" + printable(key, 100) +
                   "' of the catalogue does not parse; restore the catalogue from a backup");
}

// The message stored under `key`; `missing` is the text of `not_found`.
template <class Message>
Result<Message> load(const Rows& rows, const std::string& key,
                     Result<Message> (*parse)(std::string_view), const std::string& missing) {
  auto value = rows.get(key);
  if (!value) return fail(std::move(value.error()));
  if (!*value) return fail(ErrorKind::not_found, missing);
  auto message = parse(**value);
  if (!message) return fail(corrupt_row(key));
  return message;
}

// At most `most` messages under `prefix`, from the key `from` on.
template <class Message>
Result<std::vector<Message>> load_some(const Rows& rows, std::string_view prefix,
                                       std::string_view from, std::size_t most,
                                       Result<Message> (*parse)(std::string_view)) {
  std::vector<Message> some;
  Status parsed = Done{};
  const auto take = [&](std::string_view key, std::string_view value) {
    if (some.size() == most) return false;
    auto message = parse(value);
    if (!message) return parsed = fail(corrupt_row(key)), false;
    some.push_back(std::move(*message));
    return true;
  };
  auto scanned = rows.scan(prefix, take, from);
  if (!scanned) return fail(std::move(scanned.error()));
  if (!parsed) return fail(std::move(parsed.error()));
  return some;
}

template <class Message>
Result<std::vector<Message>> load_all(const Rows& rows, std::string_view prefix,
                                      Result<Message> (*parse)(std::string_view)) {
  return load_some(rows, prefix, {}, std::numeric_limits<std::size_t>::max(), parse);
}

inline Result<wire::DeviceInfo> load_device(const Rows& rows, const DeviceId& id) {
  return load(rows, "device/" + id.hex(), wire::parse_device_info,
              "device " + id.hex() + " is not enrolled; `lamina device ls` lists the devices");
}
inline Status store_device(Rows& rows, const wire::DeviceInfo& device) {
  return rows.put("device/" + device.id.hex(), wire::to_json(device));
}
inline Result<wire::SiteInfo> load_site(const Rows& rows, const std::string& name) {
  return load(rows, "site/" + name, wire::parse_site_info,
              "there is no site '" + printable(name, 80) + "'; `lamina site add` makes one");
}
// The members of a collection now, ascending, as they are in the registry.
Result<std::vector<wire::DeviceInfo>> load_members(const Rows& rows, const std::string& name);
// Rejected: of its site, target and stage nothing is left; the row of the signed target is the
// caller's.
void take_out_of_service(wire::DeviceInfo& device);
// Whether its CVD takes chunks and snapshots.
bool takes_uploads(const wire::DeviceInfo& device);
// Chunks of a device that is not there any more: whether its CVD is or was being erased, and these
// with it.
Result<bool> note_too_late(Rows& rows, const DeviceId& id, const std::vector<ChunkId>& chunks);
// Catalog::cvd_moves().
Result<std::uint64_t> load_cvd_moves(const Rows& rows, const DeviceId& id);
inline std::string policy_assigned_key(const DeviceId& device) {
  return "policy-assigned/device/" + device.hex();
}
inline std::string policy_assigned_key(const std::string& collection) {
  return "policy-assigned/collection/" + collection;
}
inline std::string device_layer_prefix(const DeviceId& id) {
  return "device-layer/" + id.hex() + '/';
}
// Where numbers that devices compare with older ones begin since the catalogue came from a backup;
// 0: it never did.
Result<std::uint64_t> load_floor(const Rows& rows);

// "name:version"; `not_found` names it.
Result<wire::LayerInfo> load_layer_named(const Rows& rows, const std::string& name);
Result<std::vector<wire::LayerInfo>> load_layers(const Rows& rows,
                                                 const std::vector<std::string>& names);
Result<DriverRules> load_driver_rules(const Rows& rows);
// `refused` names the first that is a driver layer with a rule: it comes and goes by that alone,
// and who asks for it by name should not wonder where it is.
Status check_no_rule(const Rows& rows, const std::vector<std::string>& layers);
// Another version of the layer: when its name has a rule, the rule names it from now on.
Status move_driver_rule(Rows& rows, const Act& act, const wire::LayerInfo& layer);

// New targets, within the caller's transaction; the changed devices are appended to `assigned`.
// With the stack `layers`, which must fit together (`refused`); driver layers that have a rule come
// and go by it.
Status assign_stack(Rows& rows, const Act& act, const std::vector<DeviceId>& devices,
                    const std::vector<std::string>& layers, const Catalog::SignTarget& sign,
                    std::vector<wire::DeviceInfo>& assigned);
// With the stack that each device has, and `layers` for its cache.
Status assign_stage(Rows& rows, const Act& act, const std::vector<DeviceId>& devices,
                    const std::vector<std::string>& layers, const Catalog::SignTarget& sign,
                    std::vector<wire::DeviceInfo>& assigned);

// `invalid` for a rule that says nothing or is out of range.
Status check_retention(const wire::RetentionRule& rule);

// Appends to the audit chain within the caller's transaction.
Status append_audit(Rows& rows, const Act& act, const std::string& action,
                    const std::string& object, const std::string& detail);

// Runs `look` in a reading transaction and hands its value out.
template <class Value, class Look>
Result<Value> reading(const Table& table, const Look& look) {
  Result<Value> value = fail(ErrorKind::unavailable, "the catalogue was not read");
  auto done = table.read([&](const Rows& rows) -> Status {
    value = look(rows);
    return Done{};
  });
  if (!done) return fail(std::move(done.error()));
  return value;
}

// Runs `change` in a writing transaction; its failure rolls back.
template <class Value, class Change>
Result<Value> writing(Table& table, const Change& change) {
  Result<Value> value = fail(ErrorKind::unavailable, "the catalogue was not written");
  auto done = table.write([&](Rows& rows) -> Status {
    value = change(rows);
    if (!value) return fail(value.error());
    return Done{};
  });
  if (!done) return fail(std::move(done.error()));
  return value;
}

}  // namespace lamina::origin
