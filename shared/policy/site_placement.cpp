#include "shared/policy/site_placement.hpp"

#include <algorithm>
#include <set>

namespace lamina::policy {
namespace {

bool is_in(const std::vector<Subnet>& networks, const Subnet& address) {
  return std::ranges::any_of(networks,
                             [&](const Subnet& network) { return contains(network, address); });
}

bool is_at(const SiteNetworks& site, const PlacementQuestion& question) {
  return is_in(site.publics, *question.public_address) &&
         is_in(site.subnets, *question.lan_address);
}

const SiteNetworks* find(const std::vector<SiteNetworks>& sites, const std::string& name) {
  const auto found = std::ranges::find(sites, name, &SiteNetworks::site);
  return found == sites.end() ? nullptr : &*found;
}

std::string addresses_of(const PlacementQuestion& question) {
  return "the origin sees it come from " + text_of(*question.public_address) +
         " and its own address is " + text_of(*question.lan_address);
}

}  // namespace

Placement place(const std::vector<SiteNetworks>& sites, const PlacementQuestion& question) {
  if (!question.public_address || !question.lan_address) return Stay{};
  if (question.by == PlacedBy::person) {
    const SiteNetworks* own = find(sites, question.site);
    if (own == nullptr || !own->enforce || is_at(*own, question)) return GoTo{question.site};
    return Wait{"site " + question.site +
                " keeps to its networks, and the device is elsewhere: " + addresses_of(question) +
                "; bring it back, or declare that network with `lamina site edit " + question.site +
                "`"};
  }
  std::set<std::string> fits;
  bool any_automatic = false;
  for (const SiteNetworks& site : sites) {
    any_automatic = any_automatic || site.automatic;
    if (site.automatic && is_at(site, question)) fits.insert(site.site);
  }
  if (fits.contains(question.site)) return GoTo{question.site};
  if (fits.size() == 1) return GoTo{*fits.begin()};
  // Nothing is said of networks anywhere: who is in no site waits for a person, as ever.
  if (question.by == PlacedBy::nobody && !any_automatic) return Stay{};
  if (fits.empty())
    return Wait{"no site takes devices from where it is: " + addresses_of(question) +
                "; declare that network with `lamina site edit`, or place it with `lamina device "
                "assign`"};
  std::string names;
  for (const std::string& name : fits) names += (names.empty() ? "" : ", ") + name;
  return Wait{"several sites take devices from where it is (" + names +
              "): " + addresses_of(question) +
              "; tell their networks apart with `lamina site edit`, or place it with `lamina "
              "device assign`"};
}

}  // namespace lamina::policy
