// Who is in a collection, to be asked of many devices; and a device's policy by the assignments to
// devices and collections. Values; private to the .cpp files of this folder, and to the catalogue.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "origin/catalog/table.hpp"
#include "shared/policy/device_filter.hpp"
#include "shared/wire/admin.hpp"
#include "shared/wire/policies.hpp"

namespace lamina::origin {

class CollectionMembers {
 public:
  // `not_found` names the collection.
  static Result<CollectionMembers> load(const Rows& rows, const std::string& name);
  static Result<CollectionMembers> of(const wire::CollectionInfo& collection);

  bool has(const wire::DeviceInfo& device) const;
  // The devices of a list, ascending; null: it is a filter.
  const std::vector<DeviceId>* list() const { return filter_ ? nullptr : &devices_; }

 private:
  std::vector<DeviceId> devices_;
  std::optional<policy::DeviceFilter> filter_;
};

// All policies and their assignments, as they are in the rows.
class PolicyBook {
 public:
  static Result<PolicyBook> load(const Rows& rows);

  struct Choice {
    const wire::PolicyInfo* info = nullptr;  // Valid as long as the book.
    std::string by;                          // As wire::DevicePolicy.
  };
  // A device's own assignment counts; else, of the collections that it is in, the one that was
  // assigned last; else the factory rules alone.
  Choice of(const wire::DeviceInfo& device) const;

  const std::map<std::string, wire::PolicyInfo>& policies() const { return policies_; }
  const std::vector<wire::PolicyAssignment>& assignments() const { return assignments_; }
  const wire::PolicyInfo& factory() const { return factory_; }

 private:
  const wire::PolicyInfo& named(const std::string& name) const;

  wire::PolicyInfo factory_;
  std::map<std::string, wire::PolicyInfo> policies_;  // The newest version of each.
  std::vector<wire::PolicyAssignment> assignments_;   // As in wire::PolicyList.
  std::map<DeviceId, std::string> of_devices_;
  struct OfCollection {
    std::string collection, policy;
    CollectionMembers members;
  };
  std::vector<OfCollection> of_collections_;  // The one assigned last first.
};

}  // namespace lamina::origin
