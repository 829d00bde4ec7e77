#include "origin/sites/placing.hpp"

namespace lamina::origin {
namespace {

// A listener for both families sees IPv4 in IPv6.
constexpr std::string_view kMapped = "::ffff:";

std::optional<policy::Subnet> address_of(std::string_view text) {
  if (text.starts_with(kMapped))
    if (auto inner = policy::parse_address(text.substr(kMapped.size()))) return inner;
  return policy::parse_address(text);
}

std::vector<policy::Subnet> parsed(const std::vector<std::string>& texts) {
  std::vector<policy::Subnet> list;
  for (const std::string& text : texts)
    if (auto subnet = policy::parse_subnet(text)) list.push_back(*subnet);
  return list;
}

policy::PlacedBy placed_by(const wire::DeviceInfo& device) {
  if (device.site.empty()) return policy::PlacedBy::nobody;
  return device.placed == "network" ? policy::PlacedBy::network : policy::PlacedBy::person;
}

}  // namespace

Result<wire::DeviceInfo> Placing::judge(wire::DeviceInfo device, std::string_view public_address,
                                        std::string_view lan_address, WallTime now) {
  if (!networks_) {
    auto sites = catalog_.sites();
    if (!sites) return fail(std::move(sites.error()));
    networks_.emplace();
    for (const wire::SiteInfo& site : *sites)
      if (site.networks)
        networks_->push_back({.site = site.name,
                              .subnets = parsed(site.networks->subnets),
                              .publics = parsed(site.networks->publics),
                              .automatic = site.networks->automatic,
                              .enforce = site.networks->enforce});
  }
  const auto decision = policy::place(*networks_, {.by = placed_by(device),
                                                   .site = device.site,
                                                   .public_address = address_of(public_address),
                                                   .lan_address = address_of(lan_address)});
  const Act act{"origin", now};
  Status done = Done{};
  if (const auto* go = std::get_if<policy::GoTo>(&decision)) {
    if (device.status == wire::DeviceStatus::assigned && device.site == go->site && !device.waiting)
      return device;
    done = catalog_.place_by_network(act, device.id, go->site);
  } else if (const auto* wait = std::get_if<policy::Wait>(&decision)) {
    if (device.waiting == wait->why) return device;
    done = catalog_.keep_waiting(act, device.id, wait->why);
  } else {
    return device;
  }
  if (!done) return fail(std::move(done.error()).in("placing device " + device.id.hex()));
  return catalog_.device(device.id);
}

}  // namespace lamina::origin
