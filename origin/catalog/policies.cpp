#include <algorithm>
#include <set>

#include "origin/catalog/rows.hpp"
#include "origin/catalog/rules.hpp"
#include "shared/hash/sha256.hpp"
#include "shared/image/protection.hpp"

namespace lamina::origin {
namespace {

using wire::PolicyAssignment;
using wire::PolicyInfo;

std::string key_of(const std::string& name) { return "policy/" + name; }
std::string versions_prefix(const std::string& name) { return "policy-version/" + name + '/'; }

std::string no_policy(const std::string& name) {
  return "there is no policy '" + printable(name, 80) + "'; `lamina policy ls` lists them";
}

Result<PolicyInfo> load_policy(const Rows& rows, const std::string& name) {
  return load(rows, key_of(name), wire::parse_policy_info, no_policy(name));
}

Status check_request(const wire::PolicyRequest& request) {
  if (auto good = check_name("the policy's name", request.name); !good) return good;
  if (request.name == wire::kFactoryPolicy)
    return fail(ErrorKind::refused,
                "the policy 'factory' is the factory rules alone, and stays so; take another name");
  if (auto good = image::Protection::make(request.rules); !good)
    return fail(std::move(good.error()));
  if (const auto& interval = request.interval_ms)
    if (*interval < wire::kSyncIntervalMinMs || *interval > wire::kSyncIntervalMaxMs)
      return fail(ErrorKind::invalid,
                  "the interval between two snapshots is from 1 minute to 31 days");
  return request.retention ? check_retention(*request.retention) : Status(Done{});
}

bool says_the_same(const PolicyInfo& info, const wire::PolicyRequest& request) {
  return info.policy.rules == request.rules && info.policy.interval_ms == request.interval_ms &&
         info.retention == request.retention;
}

std::string names_of(const std::vector<format::ProtectionRule>& rules) {
  std::vector<std::string> names;
  for (const format::ProtectionRule& rule : rules) names.push_back(rule.name);
  return joined(names);
}

std::string described(const PolicyInfo& info) {
  std::string text = "version=" + std::to_string(info.policy.version) +
                     " unprotected=" + names_of(info.policy.rules.unprotected) +
                     " user=" + names_of(info.policy.rules.user);
  if (!info.policy.rules.volumes.empty()) text += " volumes=" + joined(info.policy.rules.volumes);
  if (info.policy.interval_ms)
    text += " interval=" + to_text(std::chrono::milliseconds{*info.policy.interval_ms});
  return text;
}

wire::PolicySummary summary_of(const PolicyInfo& info) {
  return {.name = info.policy.name,
          .version = info.policy.version,
          .unprotected = static_cast<std::int64_t>(info.policy.rules.unprotected.size()),
          .user = static_cast<std::int64_t>(info.policy.rules.user.size()),
          .volumes = info.policy.rules.volumes,
          .interval_ms = info.policy.interval_ms,
          .changed_ms = info.changed_ms,
          .changed_by = info.changed_by};
}

// What is assigned to: "device:HEX" or "collection:NAME", as in the audit log.
std::string object_of(const PolicyAssignment& assignment) {
  return assignment.device ? "device:" + assignment.device->hex()
                           : "collection:" + *assignment.collection;
}
std::string key_of(const PolicyAssignment& assignment) {
  return assignment.device ? policy_assigned_key(*assignment.device)
                           : policy_assigned_key(*assignment.collection);
}

// One for each device that is named, or the collection; they are there.
Result<std::vector<PolicyAssignment>> meant_by(const Rows& rows,
                                               const wire::PolicyAssignRequest& request) {
  if (request.devices.empty() == !request.collection)
    return fail(ErrorKind::invalid,
                "a policy is for devices or for a collection: name one of them");
  std::vector<PolicyAssignment> meant;
  for (const DeviceId& id : request.devices) {
    if (auto device = load_device(rows, id); !device) return fail(std::move(device.error()));
    meant.push_back({.device = id});
  }
  if (request.collection) {
    if (auto known = CollectionMembers::load(rows, *request.collection); !known)
      return fail(std::move(known.error()));
    meant.push_back({.collection = request.collection});
  }
  return meant;
}

}  // namespace

Result<PolicyBook> PolicyBook::load(const Rows& rows) {
  PolicyBook book;
  auto policies = load_all(rows, "policy/", wire::parse_policy_info);
  if (!policies) return fail(std::move(policies.error()));
  for (PolicyInfo& info : *policies) {
    const std::string name = info.policy.name;
    book.policies_[name] = std::move(info);
  }
  auto assignments = load_all(rows, "policy-assigned/", wire::parse_policy_assignment);
  if (!assignments) return fail(std::move(assignments.error()));
  book.assignments_ = std::move(*assignments);
  std::ranges::sort(book.assignments_, [](const PolicyAssignment& a, const PolicyAssignment& b) {
    if (a.device || b.device) return a.device && (!b.device || *a.device < *b.device);
    return a.number > b.number;
  });
  for (const PolicyAssignment& assignment : book.assignments_) {
    if (assignment.device) {
      book.of_devices_[*assignment.device] = assignment.policy;
      continue;
    }
    auto members = CollectionMembers::load(rows, assignment.collection.value_or(""));
    // A program that knows no policies may have removed it: then nobody is in it.
    if (!members && members.error().kind() == ErrorKind::not_found) continue;
    if (!members) return fail(std::move(members.error()).in("policy " + assignment.policy));
    book.of_collections_.push_back(
        {*assignment.collection, assignment.policy, std::move(*members)});
  }
  return book;
}

const PolicyInfo& PolicyBook::named(const std::string& name) const {
  const auto found = policies_.find(name);
  return found == policies_.end() ? factory_ : found->second;
}

PolicyBook::Choice PolicyBook::of(const wire::DeviceInfo& device) const {
  if (const auto own = of_devices_.find(device.id); own != of_devices_.end())
    return {&named(own->second), "device"};
  for (const OfCollection& one : of_collections_)
    if (one.members.has(device)) return {&named(one.policy), "collection " + one.collection};
  return {&factory_, std::string(wire::kFactoryPolicy)};
}

Result<const PolicyBook*> Catalog::policy_book() const {
  if (!policies_) {
    auto book =
        reading<PolicyBook>(table_, [](const Rows& rows) { return PolicyBook::load(rows); });
    if (!book) return fail(std::move(book.error()));
    policies_ = std::move(*book);
  }
  return &*policies_;
}

// Carries `change` out and notes the devices that have another policy after it, and which.
Result<std::map<DeviceId, std::string>> Catalog::change_policies(
    Rows& rows, const std::function<Status()>& change) {
  policies_.reset();
  auto devices = load_all(rows, "device/", wire::parse_device_info);
  if (!devices) return fail(std::move(devices.error()));
  auto before = PolicyBook::load(rows);
  if (!before) return fail(std::move(before.error()));
  if (auto done = change(); !done) return fail(std::move(done.error()));
  auto after = PolicyBook::load(rows);
  if (!after) return fail(std::move(after.error()));
  std::map<DeviceId, std::string> changed;
  for (const wire::DeviceInfo& device : *devices) {
    const wire::Policy& now = after->of(device).info->policy;
    if (before->of(device).info->policy.id == now.id) continue;
    changed[device.id] = now.name;
    changed_devices_.insert(device.id);
  }
  return changed;
}

Result<wire::PolicyReply> Catalog::set_policy(const Act& act, const wire::PolicyRequest& request) {
  using Reply = wire::PolicyReply;
  if (auto good = check_request(request); !good) return fail(std::move(good.error()));
  return writing<Reply>(table_, [&](Rows& rows) -> Result<Reply> {
    auto newest = load_policy(rows, request.name);
    if (!newest && newest.error().kind() != ErrorKind::not_found)
      return fail(std::move(newest.error()));
    if (newest && says_the_same(*newest, request)) return Reply{std::move(*newest), {}};
    PolicyInfo info{.policy = {.name = request.name,
                               .version = newest ? newest->policy.version + 1 : 1,
                               .rules = request.rules,
                               .interval_ms = request.interval_ms},
                    .retention = request.retention,
                    .changed_ms = ms(act.now),
                    .changed_by = act.actor};
    info.policy.id = digest<ChunkId>(as_view(wire::to_json(info.policy))).hex();
    auto changed = change_policies(rows, [&]() -> Status {
      const std::string text = wire::to_json(info);
      if (auto put = rows.put(key_of(request.name), text); !put) return put;
      if (auto put = rows.put(versions_prefix(request.name) + digits(info.policy.version), text);
          !put)
        return put;
      return append_audit(rows, act, "policy.set", request.name, described(info));
    });
    if (!changed) return fail(std::move(changed.error()));
    Reply reply{std::move(info), {}};
    for (const auto& [device, policy] : *changed) reply.devices.push_back(device);
    return reply;
  });
}

Status Catalog::remove_policy(const Act& act, const std::string& name) {
  return table_.write([&](Rows& rows) -> Status {
    auto newest = load_policy(rows, name);
    if (!newest) return fail(std::move(newest.error()));
    auto book = PolicyBook::load(rows);
    if (!book) return fail(std::move(book.error()));
    const auto used = std::ranges::find(book->assignments(), name, &PolicyAssignment::policy);
    if (used != book->assignments().end())
      return fail(ErrorKind::refused, "policy " + name + " is assigned to " + object_of(*used) +
                                          ": `lamina policy unassign` first");
    policies_.reset();
    std::vector<std::string> keys = {key_of(name)};
    auto scanned = rows.scan(versions_prefix(name), [&](std::string_view key, std::string_view) {
      keys.emplace_back(key);
      return true;
    });
    if (!scanned) return scanned;
    for (const std::string& key : keys)
      if (auto erased = rows.erase(key); !erased) return erased;
    return append_audit(rows, act, "policy.remove", name, described(*newest));
  });
}

Result<wire::PolicyAssignReply> Catalog::assign_policy(const Act& act,
                                                       const wire::PolicyAssignRequest& request) {
  using Reply = wire::PolicyAssignReply;
  return writing<Reply>(table_, [&](Rows& rows) -> Result<Reply> {
    auto meant = meant_by(rows, request);
    if (!meant) return fail(std::move(meant.error()));
    if (request.policy && *request.policy != wire::kFactoryPolicy)
      if (auto known = load_policy(rows, *request.policy); !known)
        return fail(std::move(known.error()));
    auto changed = change_policies(rows, [&]() -> Status {
      auto all = load_all(rows, "policy-assigned/", wire::parse_policy_assignment);
      if (!all) return fail(std::move(all.error()));
      std::uint64_t number = 0;
      for (const PolicyAssignment& one : *all) number = std::max(number, one.number);
      for (PolicyAssignment& assignment : *meant) {
        const std::string object = object_of(assignment);
        if (!request.policy) {
          auto there = rows.get(key_of(assignment));
          if (!there) return fail(std::move(there.error()));
          if (!*there)
            return fail(ErrorKind::not_found, object +
                                                  " has no policy assigned; `lamina policy "
                                                  "ls` lists the assignments");
          if (auto erased = rows.erase(key_of(assignment)); !erased) return erased;
          if (auto noted = append_audit(rows, act, "policy.unassign", object, ""); !noted)
            return noted;
          continue;
        }
        assignment.policy = *request.policy;
        assignment.number = assignment.collection ? number + 1 : 0;
        assignment.assigned_ms = ms(act.now);
        if (auto put = rows.put(key_of(assignment), wire::to_json(assignment)); !put) return put;
        if (auto noted =
                append_audit(rows, act, "policy.assign", object, "policy=" + *request.policy);
            !noted)
          return noted;
      }
      return Done{};
    });
    if (!changed) return fail(std::move(changed.error()));
    Reply reply;
    for (auto& [device, policy] : *changed) {
      reply.devices.push_back(device);
      reply.policies.push_back(std::move(policy));
    }
    return reply;
  });
}

Result<wire::PolicyList> Catalog::policies() const {
  auto book = policy_book();
  if (!book) return fail(std::move(book.error()));
  wire::PolicyList list{.policies = {}, .assignments = (*book)->assignments()};
  for (const auto& [name, info] : (*book)->policies()) list.policies.push_back(summary_of(info));
  return list;
}

Result<PolicyInfo> Catalog::policy(const std::string& name, std::uint64_t version) const {
  return reading<PolicyInfo>(table_, [&](const Rows& rows) -> Result<PolicyInfo> {
    auto newest = load_policy(rows, name);
    if (!newest || version == 0) return newest;
    return load(rows, versions_prefix(name) + digits(version), wire::parse_policy_info,
                "policy " + name + " has no version " + std::to_string(version) +
                    "; the newest is " + std::to_string(newest->policy.version));
  });
}

Result<wire::PolicyVersions> Catalog::policy_versions(const std::string& name) const {
  using Versions = wire::PolicyVersions;
  return reading<Versions>(table_, [&](const Rows& rows) -> Result<Versions> {
    if (auto known = load_policy(rows, name); !known) return fail(std::move(known.error()));
    auto all = load_all(rows, versions_prefix(name), wire::parse_policy_info);
    if (!all) return fail(std::move(all.error()));
    Versions versions;
    for (const PolicyInfo& info : *all) versions.versions.push_back(summary_of(info));
    return versions;
  });
}

Result<wire::DevicePolicy> Catalog::policy_of(const wire::DeviceInfo& device) const {
  auto book = policy_book();
  if (!book) return fail(std::move(book.error()));
  auto choice = (*book)->of(device);
  return wire::DevicePolicy{.policy = choice.info->policy,
                            .by = std::move(choice.by),
                            .held = std::nullopt,
                            .retention = choice.info->retention};
}

Result<wire::Snooze> Catalog::snooze_device(const Act& act, const DeviceId& id, Duration duration) {
  if (duration < Duration{} || duration > wire::kSnoozeMax)
    return fail(ErrorKind::invalid, "a device is snoozed for at most " + to_text(wire::kSnoozeMax) +
                                        ", not " + to_text(duration));
  return writing<wire::Snooze>(table_, [&](Rows& rows) -> Result<wire::Snooze> {
    auto device = load_device(rows, id);
    if (!device) return fail(std::move(device.error()));
    auto floor = load_floor(rows);
    if (!floor) return fail(std::move(floor.error()));
    wire::Snooze snooze = device->snooze.value_or(wire::Snooze{});
    snooze.number = std::max(snooze.number + 1, *floor);
    snooze.until_ms = duration == Duration{} ? 0 : ms(WallTime{act.now.ns + duration.count()});
    device->snooze = snooze;
    if (auto put = store_device(rows, *device); !put) return fail(std::move(put.error()));
    const std::string detail =
        snooze.until_ms == 0 ? "off" : "until=" + to_iso8601(WallTime{snooze.until_ms * 1'000'000});
    if (auto noted = append_audit(rows, act, "device.snooze", "device:" + id.hex(), detail); !noted)
      return fail(std::move(noted.error()));
    changed_devices_.insert(id);
    return snooze;
  });
}

}  // namespace lamina::origin
