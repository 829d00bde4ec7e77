#include "origin/catalog/device_facts.hpp"

#include <algorithm>

namespace lamina::origin {
namespace {

constexpr std::string_view kAttribute = "attribute.";
constexpr std::string_view kDmi = "dmi.";

struct Fact {
  std::string_view name;
  std::vector<std::string> (*values)(const wire::DeviceInfo& device);
};
constexpr Fact kFacts[] = {
    {"id", [](const wire::DeviceInfo& d) { return std::vector{d.id.hex()}; }},
    {"status",
     [](const wire::DeviceInfo& d) { return std::vector{std::string(wire::name_of(d.status))}; }},
    {"site", [](const wire::DeviceInfo& d) { return std::vector{d.site}; }},
    {"host", [](const wire::DeviceInfo& d) { return std::vector{d.host_name}; }},
    {"uuid", [](const wire::DeviceInfo& d) { return std::vector{d.hardware_uuid}; }},
    {"version", [](const wire::DeviceInfo& d) { return std::vector{d.node_version}; }},
    {"address", [](const wire::DeviceInfo& d) { return std::vector{d.lan_address}; }},
    {"public-address",
     [](const wire::DeviceInfo& d) { return std::vector{d.public_address.value_or("")}; }},
    {"target", [](const wire::DeviceInfo& d) { return d.target; }},
    {"applied", [](const wire::DeviceInfo& d) { return d.applied; }},
    {"pci",
     [](const wire::DeviceInfo& d) {
       return d.hardware ? d.hardware->pci : std::vector<std::string>();
     }},
};

// The value of a key of a map of facts; none: it is not there.
std::vector<std::string> value_of(const std::map<std::string, std::string>& map,
                                  std::string_view key) {
  const auto found = map.find(std::string(key));
  return found == map.end() ? std::vector<std::string>() : std::vector{found->second};
}

bool is_below(std::string_view prefix, std::string_view name) {
  return name.starts_with(prefix) && name.size() > prefix.size();
}

}  // namespace

Result<policy::DeviceFilter> parse_filter(const std::string& text) {
  auto filter = policy::DeviceFilter::parse(text, [](std::string_view name) {
    return is_below(kAttribute, name) || is_below(kDmi, name) ||
           std::ranges::find(kFacts, name, &Fact::name) != std::end(kFacts);
  });
  if (filter) return filter;
  std::string names;
  for (const Fact& fact : kFacts) names += std::string(fact.name) + ", ";
  return fail(ErrorKind::invalid,
              filter.error().text() + "; the facts are " + names + "dmi.NAME, attribute.NAME");
}

bool matches(const policy::DeviceFilter& filter, const wire::DeviceInfo& device) {
  return filter.matches([&](std::string_view name) {
    if (name.starts_with(kAttribute))
      return value_of(device.attributes, name.substr(kAttribute.size()));
    if (name.starts_with(kDmi))
      return device.hardware ? value_of(device.hardware->dmi, name.substr(kDmi.size()))
                             : std::vector<std::string>();
    return std::ranges::find(kFacts, name, &Fact::name)->values(device);
  });
}

}  // namespace lamina::origin
