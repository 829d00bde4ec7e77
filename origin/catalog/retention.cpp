#include "shared/policy/retention.hpp"

#include "origin/catalog/rows.hpp"

namespace lamina::origin {
namespace {

constexpr const char* kRow = "retention";

std::string row_of(const std::optional<DeviceId>& device) {
  return device ? std::string(kRow) + '/' + device->hex() : kRow;
}

Result<std::optional<wire::RetentionRule>> load_rule(const Rows& rows, const std::string& key) {
  auto rule = load(rows, key, wire::parse_retention_rule, "");
  if (rule) return std::optional(*rule);
  if (rule.error().kind() == ErrorKind::not_found) return std::optional<wire::RetentionRule>();
  return fail(std::move(rule.error()));
}

std::string text_of(const std::optional<wire::RetentionRule>& rule) {
  if (!rule) return "no rule";
  return "newest=" + std::to_string(rule->newest) + " hourly=" + std::to_string(rule->hourly) +
         " daily=" + std::to_string(rule->daily) + " weekly=" + std::to_string(rule->weekly) +
         " monthly=" + std::to_string(rule->monthly);
}

// The rule that counts for the device: its own, its policy's, or the one for all.
Result<wire::RetentionRule> rule_for(const Rows& rows, const wire::DeviceInfo& device) {
  const DeviceId& id = device.id;
  auto own = load_rule(rows, row_of(id));
  if (!own) return fail(std::move(own.error()));
  if (*own) return **own;
  auto book = PolicyBook::load(rows);
  if (!book) return fail(std::move(book.error()));
  if (const auto& rule = book->of(device).info->retention) return *rule;
  auto for_all = load_rule(rows, row_of(std::nullopt));
  if (!for_all) return fail(std::move(for_all.error()));
  if (*for_all) return **for_all;
  return fail(ErrorKind::refused, "no retention rule counts for device " + id.hex() +
                                      ": its snapshots are kept; `lamina cvd retention set` makes "
                                      "one, `--snapshot` names one to remove");
}

// By the rule, newest first.
std::vector<wire::JudgedSnapshot> judged(const wire::RetentionRule& rule,
                                         const std::vector<wire::SnapshotInfo>& snapshots) {
  std::map<SnapshotId, const wire::SnapshotInfo*> by_id;
  std::vector<policy::SnapshotTime> times;
  for (const wire::SnapshotInfo& snapshot : snapshots) {
    by_id[snapshot.id] = &snapshot;
    times.push_back({snapshot.id, snapshot.number, WallTime{snapshot.created_ms * 1'000'000}});
  }
  const policy::RetentionRule counts{.newest = rule.newest,
                                     .hourly = rule.hourly,
                                     .daily = rule.daily,
                                     .weekly = rule.weekly,
                                     .monthly = rule.monthly};
  std::vector<wire::JudgedSnapshot> list;
  for (const auto& verdict : policy::apply_retention(counts, std::move(times))) {
    list.push_back({*by_id.at(verdict.id), {}});
    for (const policy::RetentionLevel level : verdict.kept_as)
      list.back().kept_as.emplace_back(name_of(level));
  }
  return list;
}

Status erase_snapshot(Rows& rows, const Act& act, const DeviceId& id,
                      const wire::SnapshotInfo& snapshot, const std::string& why) {
  for (const std::string& key : {"snapshot/" + id.hex() + '/' + digits(snapshot.number),
                                 "snapshot-id/" + id.hex() + snapshot.id.hex()})
    if (auto erased = rows.erase(key); !erased) return erased;
  return append_audit(
      rows, act, "cvd.forget", "device:" + id.hex(),
      "snapshot=" + snapshot.id.hex() + " number=" + std::to_string(snapshot.number) + ' ' + why);
}

}  // namespace

Status check_retention(const wire::RetentionRule& rule) {
  const std::pair<const char*, int> counts[] = {{"newest", rule.newest},
                                                {"hourly", rule.hourly},
                                                {"daily", rule.daily},
                                                {"weekly", rule.weekly},
                                                {"monthly", rule.monthly}};
  bool says_something = false;
  for (const auto& [name, count] : counts) {
    if (count < 0 || count > wire::kRetentionMax)
      return fail(ErrorKind::invalid,
                  "a rule keeps from 0 to " + std::to_string(wire::kRetentionMax) +
                      " snapshots of each level, not " + name + " " + std::to_string(count));
    says_something = says_something || count > 0;
  }
  if (says_something) return Done{};
  return fail(ErrorKind::invalid,
              "the rule would keep the newest snapshot alone: say so with newest 1, or take the "
              "rule away to keep all");
}

Status Catalog::set_retention(const Act& act, const std::optional<DeviceId>& device,
                              const std::optional<wire::RetentionRule>& rule) {
  if (rule)
    if (auto good = check_retention(*rule); !good) return good;
  return table_.write([&](Rows& rows) -> Status {
    if (device)
      if (auto known = load_device(rows, *device); !known) return fail(std::move(known.error()));
    auto done = rule ? rows.put(row_of(device), wire::to_json(*rule)) : rows.erase(row_of(device));
    if (!done) return done;
    return append_audit(rows, act, "retention.set", device ? "device:" + device->hex() : "all",
                        text_of(rule));
  });
}

Result<wire::RetentionSettings> Catalog::retention() const {
  using Settings = wire::RetentionSettings;
  return reading<Settings>(table_, [](const Rows& rows) -> Result<Settings> {
    Settings settings;
    auto rule = load_rule(rows, kRow);
    if (!rule) return fail(std::move(rule.error()));
    settings.rule = *rule;
    const std::string prefix = std::string(kRow) + '/';
    Status parsed = Done{};
    auto scanned = rows.scan(prefix, [&](std::string_view key, std::string_view value) {
      const auto device = DeviceId::parse(key.substr(prefix.size()));
      const auto own = wire::parse_retention_rule(value);
      if (!device || !own) return parsed = fail(corrupt_row(key)), false;
      settings.devices.push_back({*device, *own});
      return true;
    });
    if (!scanned) return fail(std::move(scanned.error()));
    if (!parsed) return fail(std::move(parsed.error()));
    return settings;
  });
}

Result<wire::ForgetReply> Catalog::forget_snapshots(const Act& act, const DeviceId& id,
                                                    const wire::ForgetRequest& request) {
  using Reply = wire::ForgetReply;
  const auto judge = [&](const Rows& rows) -> Result<Reply> {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    if (!request.snapshot && !takes_uploads(*device))
      return fail(ErrorKind::refused, "the CVD of device " + id.hex() +
                                          " is archived: no rule removes its snapshots; "
                                          "`--snapshot` names one to remove");
    auto snapshots = load_all(rows, "snapshot/" + id.hex() + '/', wire::parse_snapshot_info);
    if (!snapshots) return fail(std::move(snapshots.error()));
    if (!request.snapshot) {
      auto rule = rule_for(rows, *device);
      if (!rule) return fail(std::move(rule.error()));
      return Reply{request.dry_run, judged(*rule, *snapshots)};
    }
    const auto named = std::ranges::find(*snapshots, *request.snapshot, &wire::SnapshotInfo::id);
    if (named == snapshots->end())
      return fail(ErrorKind::not_found,
                  "device " + id.hex() + " has no snapshot " + request.snapshot->hex());
    if (named->number == snapshots->back().number)
      return fail(ErrorKind::refused, "snapshot " + request.snapshot->hex() +
                                          " is the newest of device " + id.hex() +
                                          ": that one always stays");
    return Reply{request.dry_run, {{*named, {}}}};
  };
  if (request.dry_run) return reading<Reply>(table_, judge);
  return writing<Reply>(table_, [&](Rows& rows) -> Result<Reply> {
    auto reply = judge(rows);
    if (!reply) return reply;
    for (const wire::JudgedSnapshot& one : reply->snapshots) {
      if (!one.kept_as.empty()) continue;
      const char* why = request.snapshot ? "as asked" : "by the rule";
      if (auto done = erase_snapshot(rows, act, id, one.snapshot, why); !done)
        return fail(std::move(done.error()));
    }
    return reply;
  });
}

}  // namespace lamina::origin
