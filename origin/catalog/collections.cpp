#include <algorithm>
#include <set>

#include "origin/catalog/device_facts.hpp"
#include "origin/catalog/members.hpp"
#include "origin/catalog/quotas.hpp"
#include "origin/catalog/rows.hpp"
#include "origin/catalog/rules.hpp"

namespace lamina::origin {
namespace {

using wire::CollectionInfo;

std::string key_of(const std::string& name) { return "collection/" + name; }

Result<CollectionInfo> load_collection(const Rows& rows, const std::string& name) {
  return load(
      rows, key_of(name), wire::parse_collection_info,
      "there is no collection '" + printable(name, 80) + "'; `lamina collection ls` lists them");
}

// Every device once, and none that is not enrolled.
Result<std::vector<DeviceId>> checked(const Rows& rows, std::vector<DeviceId> devices) {
  std::ranges::sort(devices);
  if (const auto twice = std::ranges::adjacent_find(devices); twice != devices.end())
    return fail(ErrorKind::invalid, "device " + twice->hex() + " is named twice");
  if (devices.size() > wire::kCollectionMax)
    return fail(ErrorKind::invalid, "a list has at most " + std::to_string(wire::kCollectionMax) +
                                        " devices; use a filter");
  for (const DeviceId& id : devices)
    if (auto known = load_device(rows, id); !known) return fail(std::move(known.error()));
  return devices;
}

std::string described(const CollectionInfo& collection) {
  return collection.filter ? "filter=" + *collection.filter
                           : "devices=" + std::to_string(collection.devices->size());
}

// What takes the place of the collection's devices or filter.
Status set_members(const Rows& rows, const wire::CollectionRequest& request,
                   CollectionInfo& collection) {
  if (request.filter) {
    if (auto filter = parse_filter(*request.filter); !filter)
      return fail(std::move(filter.error()));
    collection.filter = request.filter;
    collection.devices.reset();
    return Done{};
  }
  auto devices = checked(rows, *request.devices);
  if (!devices) return fail(std::move(devices.error()));
  collection.devices = std::move(*devices);
  collection.filter.reset();
  return Done{};
}

Status store(Rows& rows, const Act& act, CollectionInfo& collection, const std::string& action) {
  collection.changed_ms = ms(act.now);
  if (auto put = rows.put(key_of(collection.name), wire::to_json(collection)); !put) return put;
  return append_audit(rows, act, action, collection.name, described(collection));
}

}  // namespace

Result<CollectionMembers> CollectionMembers::of(const CollectionInfo& collection) {
  CollectionMembers members;
  if (!collection.filter) {
    members.devices_ = collection.devices.value_or(std::vector<DeviceId>{});
    return members;
  }
  auto filter = parse_filter(*collection.filter);
  if (!filter) return fail(std::move(filter.error()));
  members.filter_ = std::move(*filter);
  return members;
}

Result<CollectionMembers> CollectionMembers::load(const Rows& rows, const std::string& name) {
  auto collection = load_collection(rows, name);
  if (!collection) return fail(std::move(collection.error()));
  return of(*collection);
}

bool CollectionMembers::has(const wire::DeviceInfo& device) const {
  return filter_ ? matches(*filter_, device) : std::ranges::binary_search(devices_, device.id);
}

Result<std::vector<wire::DeviceInfo>> load_members(const Rows& rows, const std::string& name) {
  auto who = CollectionMembers::load(rows, name);
  if (!who) return fail(std::move(who.error()));
  std::vector<wire::DeviceInfo> members;
  if (const auto* list = who->list()) {
    for (const DeviceId& id : *list) {
      auto device = load_device(rows, id);
      if (!device) return fail(std::move(device.error()));
      members.push_back(std::move(*device));
    }
    return members;
  }
  auto devices = load_all(rows, "device/", wire::parse_device_info);
  if (!devices) return fail(std::move(devices.error()));
  for (wire::DeviceInfo& device : *devices)
    if (who->has(device)) members.push_back(std::move(device));
  return members;
}

Status Catalog::add_collection(const Act& act, const wire::CollectionRequest& request) {
  if (auto ok = check_name("the collection's name", request.name); !ok) return ok;
  if (request.devices.has_value() == request.filter.has_value() || request.add || request.remove)
    return fail(ErrorKind::invalid, "a collection has either devices or a filter");
  return table_.write([&](Rows& rows) -> Status {
    auto taken = rows.get(key_of(request.name));
    if (!taken) return fail(std::move(taken.error()));
    if (*taken)
      return fail(ErrorKind::refused, "there is a collection '" + request.name +
                                          "' already; `lamina collection edit` changes it");
    CollectionInfo collection{.name = request.name};
    if (auto set = set_members(rows, request, collection); !set) return set;
    return store(rows, act, collection, "collection.add");
  });
}

Status Catalog::change_collection(const Act& act, const std::string& name,
                                  const wire::CollectionRequest& request) {
  const bool is_list = request.add || request.remove;
  if (request.devices.has_value() + request.filter.has_value() + is_list != 1)
    return fail(ErrorKind::invalid,
                "a change names devices, a filter, or devices to add and to remove");
  policies_.reset();
  return table_.write([&](Rows& rows) -> Status {
    auto collection = load_collection(rows, name);
    if (!collection) return fail(std::move(collection.error()));
    if (!is_list) {
      if (auto set = set_members(rows, request, *collection); !set) return set;
      return store(rows, act, *collection, "collection.change");
    }
    if (collection->filter)
      return fail(ErrorKind::refused, "collection " + name +
                                          " is a filter: give another filter, or a list of "
                                          "devices in its place");
    std::set<DeviceId> devices(collection->devices->begin(), collection->devices->end());
    for (const DeviceId& id : request.remove.value_or(std::vector<DeviceId>{}))
      if (devices.erase(id) == 0)
        return fail(ErrorKind::not_found, "device " + id.hex() + " is not in collection " + name);
    const auto add = request.add.value_or(std::vector<DeviceId>{});
    devices.insert(add.begin(), add.end());
    auto good = checked(rows, {devices.begin(), devices.end()});
    if (!good) return fail(std::move(good.error()));
    collection->devices = std::move(*good);
    return store(rows, act, *collection, "collection.change");
  });
}

Status Catalog::remove_collection(const Act& act, const std::string& name) {
  return table_.write([&](Rows& rows) -> Status {
    auto collection = load_collection(rows, name);
    if (!collection) return fail(std::move(collection.error()));
    auto assigned = rows.get(policy_assigned_key(name));
    if (!assigned) return fail(std::move(assigned.error()));
    if (*assigned)
      return fail(ErrorKind::refused,
                  "collection " + name +
                      " has a policy: `lamina policy unassign --collection` takes it away first");
    auto limited = rows.get(quota_key(name));
    if (!limited) return fail(std::move(limited.error()));
    if (*limited)
      return fail(ErrorKind::refused, "collection " + name +
                                          " has a quota: `lamina quota set --collection " + name +
                                          " --none` takes it away first");
    if (auto erased = rows.erase(key_of(name)); !erased) return erased;
    return append_audit(rows, act, "collection.remove", name, described(*collection));
  });
}

Result<std::vector<CollectionInfo>> Catalog::device_collections() const {
  return reading<std::vector<CollectionInfo>>(table_, [](const Rows& rows) {
    return load_all(rows, "collection/", wire::parse_collection_info);
  });
}

Result<wire::CollectionDetail> Catalog::collection(const std::string& name) const {
  return reading<wire::CollectionDetail>(
      table_, [&](const Rows& rows) -> Result<wire::CollectionDetail> {
        auto collection = load_collection(rows, name);
        if (!collection) return fail(std::move(collection.error()));
        auto members = load_members(rows, name);
        if (!members) return fail(std::move(members.error()));
        wire::CollectionDetail detail{.collection = std::move(*collection), .members = {}};
        for (const wire::DeviceInfo& device : *members) detail.members.push_back(device.id);
        return detail;
      });
}

}  // namespace lamina::origin
