// Quotas: how much CVDs may come to, by device or by collection. The size of a CVD is that of what
// its newest snapshot protects; what its older ones need beside that is bounded by their number.
#include "origin/catalog/quotas.hpp"

#include "origin/catalog/device_rows.hpp"

namespace lamina::origin {
namespace {

using wire::DeviceInfo;
using wire::QuotaRule;
using wire::QuotaStanding;

constexpr std::string_view kDevices = "quota/device/";
constexpr std::string_view kCollections = "quota/collection/";
constexpr std::string_view kHard = "hard";
// What uploads_wait begins with where a quota is why.
constexpr std::string_view kQuota = "quota: ";

struct Size {
  std::int64_t bytes = 0;
  std::int64_t snapshots = 0;
};

Result<Size> size_of(const Rows& rows, const DeviceId& id) {
  Size size;
  const std::string place = "snapshot/" + id.hex() + '/';
  auto keys = keys_of(rows, place);
  if (!keys) return fail(std::move(keys.error()));
  size.snapshots = static_cast<std::int64_t>(keys->size());
  if (keys->empty()) return size;
  auto newest = load(rows, keys->back(), wire::parse_snapshot_info, "a snapshot's row is missing");
  if (!newest) return fail(std::move(newest.error()));
  size.bytes = newest->plain_bytes;
  return size;
}

bool reaches(std::int64_t amount, std::int64_t level) { return level > 0 && amount >= level; }

void judge(QuotaStanding& standing) {
  const QuotaRule& rule = standing.rule;
  const auto reached = [&](std::int64_t bytes, std::int64_t snapshots) {
    return reaches(standing.bytes, bytes) || reaches(standing.snapshots, snapshots);
  };
  standing.level = reached(rule.hard_bytes, rule.hard_snapshots)   ? kHard
                   : reached(rule.warn_bytes, rule.warn_snapshots) ? "warning"
                                                                   : "ok";
}

struct Judged {
  QuotaStanding standing;
  std::vector<DeviceId> devices;  // That it counts.
};

Result<std::vector<Judged>> judged(const Rows& rows) {
  std::vector<Judged> all;
  Status parsed = Done{};
  const auto scan = [&](std::string_view kind, const auto& take) {
    return rows.scan(kind, [&](std::string_view key, std::string_view value) {
      auto rule = wire::parse_quota_rule(value);
      if (!rule) return parsed = fail(corrupt_row(key)), false;
      Judged one;
      one.standing.rule = *rule;
      parsed = take(std::string(key.substr(kind.size())), one);
      all.push_back(std::move(one));
      return parsed.has_value();
    });
  };
  auto scanned = scan(kDevices, [&](const std::string& name, Judged& one) -> Status {
    auto id = DeviceId::parse(name);
    if (!id) return fail(std::move(id.error()));
    one.standing.device = *id;
    one.devices = {*id};
    return Done{};
  });
  if (scanned && parsed)
    scanned = scan(kCollections, [&](const std::string& name, Judged& one) -> Status {
      one.standing.collection = name;
      auto members = load_members(rows, name);
      if (!members) return fail(std::move(members.error()));
      for (const DeviceInfo& device : *members) one.devices.push_back(device.id);
      return Done{};
    });
  if (!scanned) return fail(std::move(scanned.error()));
  if (!parsed) return fail(std::move(parsed.error()));
  std::map<DeviceId, Size> sizes;
  for (Judged& one : all) {
    for (const DeviceId& id : one.devices) {
      auto [known, is_new] = sizes.try_emplace(id);
      if (is_new) {
        auto size = size_of(rows, id);
        if (!size) return fail(std::move(size.error()));
        known->second = *size;
      }
      one.standing.bytes += known->second.bytes;
      one.standing.snapshots += known->second.snapshots;
    }
    judge(one.standing);
  }
  return all;
}

std::string reason(const QuotaStanding& standing) {
  return std::string(kQuota) + how_full(standing) +
         "; nothing is lost, and uploads go on when `lamina quota set` allows more or snapshots "
         "are "
         "removed";
}

Status check_rule(const QuotaRule& rule) {
  if (rule == QuotaRule())
    return fail(ErrorKind::invalid, "the quota says nothing: give a level, or take it away");
  if ((rule.hard_bytes > 0 && rule.warn_bytes > rule.hard_bytes) ||
      (rule.hard_snapshots > 0 && rule.warn_snapshots > rule.hard_snapshots))
    return fail(ErrorKind::invalid, "a quota warns below its hard level");
  return Done{};
}

}  // namespace

std::string how_full(const QuotaStanding& standing) {
  const QuotaRule& rule = standing.rule;
  const bool is_hard = standing.level == kHard;
  const std::int64_t bytes = is_hard ? rule.hard_bytes : rule.warn_bytes;
  const std::int64_t snapshots = is_hard ? rule.hard_snapshots : rule.warn_snapshots;
  const std::string who =
      standing.collection ? "the CVDs of collection " + *standing.collection : "the CVD";
  const std::string what =
      reaches(standing.bytes, bytes)
          ? to_text(Bytes{standing.bytes}) + " of " + to_text(Bytes{bytes})
          : std::to_string(standing.snapshots) + " of " + std::to_string(snapshots) + " snapshots";
  return who + " came to " + what + (is_hard ? ", the hard level" : ", the warning level");
}

std::string quota_key(const std::string& collection) {
  return std::string(kCollections) + collection;
}

Status Catalog::set_quota(const Act& act, const wire::QuotaRequest& request) {
  if (request.device.has_value() == request.collection.has_value())
    return fail(ErrorKind::invalid, "a quota is of a device or of a collection");
  if (request.rule)
    if (auto good = check_rule(*request.rule); !good) return good;
  auto done = table_.write([&](Rows& rows) -> Status {
    std::string key;
    if (request.device) {
      key = place_of(kDevices, *request.device);
      if (auto known = load_device(rows, *request.device); !known)
        return fail(std::move(known.error()));
    } else {
      key = quota_key(*request.collection);
      if (request.rule)
        if (auto known = load_members(rows, *request.collection); !known)
          return fail(std::move(known.error()));
    }
    const auto set = request.rule ? rows.put(key, wire::to_json(*request.rule)) : rows.erase(key);
    if (!set) return set;
    return append_audit(
        rows, act, "quota.set",
        request.device ? "device:" + request.device->hex() : "collection:" + *request.collection,
        request.rule ? wire::to_json(*request.rule) : "none");
  });
  return done ? apply_quotas(act) : done;
}

Result<std::vector<QuotaStanding>> Catalog::quotas() const {
  using List = std::vector<QuotaStanding>;
  return reading<List>(table_, [](const Rows& rows) -> Result<List> {
    auto all = judged(rows);
    if (!all) return fail(std::move(all.error()));
    List list;
    for (Judged& one : *all) list.push_back(std::move(one.standing));
    return list;
  });
}

Status Catalog::apply_quotas(const Act& act) {
  struct Wanted {
    std::map<DeviceId, std::string> waiting;
    std::vector<DeviceInfo> differ;
  };
  const auto look = [&](const Rows& rows) -> Result<Wanted> {
    auto all = judged(rows);
    if (!all) return fail(std::move(all.error()));
    Wanted wanted;
    for (const Judged& one : *all)
      if (one.standing.level == kHard)
        for (const DeviceId& id : one.devices) wanted.waiting.emplace(id, reason(one.standing));
    auto devices = load_all(rows, "device/", wire::parse_device_info);
    if (!devices) return fail(std::move(devices.error()));
    for (DeviceInfo& device : *devices) {
      if (!takes_uploads(device)) continue;
      const auto waiting = wanted.waiting.find(device.id);
      auto text = waiting == wanted.waiting.end() ? std::nullopt : std::optional(waiting->second);
      if (device.uploads_wait == text) continue;
      device.uploads_wait = std::move(text);
      wanted.differ.push_back(std::move(device));
    }
    return wanted;
  };
  auto wanted = reading<Wanted>(table_, look);
  if (!wanted) return fail(std::move(wanted.error()));
  if (wanted->differ.empty()) return Done{};
  for (const DeviceInfo& device : wanted->differ) changed_devices_.insert(device.id);
  return table_.write([&](Rows& rows) -> Status {
    auto again = look(rows);
    if (!again) return fail(std::move(again.error()));
    for (const DeviceInfo& device : again->differ) {
      if (auto put = store_device(rows, device); !put) return put;
      if (auto noted = append_audit(rows, act, device.uploads_wait ? "quota.reached" : "quota.left",
                                    "device:" + device.id.hex(), device.uploads_wait.value_or(""));
          !noted)
        return noted;
    }
    return Done{};
  });
}

}  // namespace lamina::origin
