#include "origin/catalog/device_rows.hpp"

namespace lamina::origin {

Result<std::vector<std::string>> keys_of(const Rows& rows, const std::string& place) {
  std::vector<std::string> keys;
  auto scanned = rows.scan(place, [&](std::string_view key, std::string_view) {
    keys.emplace_back(key);
    return true;
  });
  if (!scanned) return fail(std::move(scanned.error()));
  return keys;
}

Result<std::int64_t> take_rows(Rows& rows, const DeviceId& id, std::string_view kind,
                               std::string_view into) {
  auto keys = keys_of(rows, place_of(kind, id));
  if (!keys) return fail(std::move(keys.error()));
  for (const std::string& key : *keys) {
    if (auto erased = rows.erase(key); !erased) return fail(std::move(erased.error()));
    if (into.empty()) continue;
    if (auto put = rows.put(std::string(into) + key.substr(kind.size()), ""); !put)
      return fail(std::move(put.error()));
  }
  return static_cast<std::int64_t>(keys->size());
}

Status leave_collections(Rows& rows, const DeviceId& id, std::vector<std::string>& left,
                         const std::optional<DeviceId>& successor) {
  auto collections = load_all(rows, "collection/", wire::parse_collection_info);
  if (!collections) return fail(std::move(collections.error()));
  for (wire::CollectionInfo& collection : *collections) {
    if (!collection.devices || std::erase(*collection.devices, id) == 0) continue;
    left.push_back(collection.name);
    if (successor && std::ranges::count(*collection.devices, *successor) == 0)
      collection.devices->push_back(*successor);
    std::ranges::sort(*collection.devices);
    if (auto put = rows.put("collection/" + collection.name, wire::to_json(collection)); !put)
      return put;
  }
  return Done{};
}

Status leave_reflectors(Rows& rows, const DeviceId& id, std::vector<std::string>& left) {
  auto sites = load_all(rows, "site/", wire::parse_site_info);
  if (!sites) return fail(std::move(sites.error()));
  for (wire::SiteInfo& site : *sites) {
    if (!site.reflector_devices || std::erase(*site.reflector_devices, id) == 0) continue;
    left.push_back(site.name);
    if (site.reflector_devices->empty()) site.reflector_devices.reset();
    if (auto put = rows.put("site/" + site.name, wire::to_json(site)); !put) return put;
  }
  return Done{};
}

}  // namespace lamina::origin
