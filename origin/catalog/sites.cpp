#include "origin/catalog/rows.hpp"
#include "origin/catalog/rules.hpp"
#include "shared/policy/subnet.hpp"
#include "shared/policy/wan_transport.hpp"

namespace lamina::origin {
namespace {

Status check_subnets(std::vector<std::string>& texts, const std::string& what) {
  if (texts.size() > wire::kNetworksMax)
    return fail(ErrorKind::invalid, "a site has at most " + std::to_string(wire::kNetworksMax) +
                                        " " + what + " networks");
  for (std::string& text : texts) {
    auto subnet = policy::parse_subnet(text);
    if (!subnet) return fail(std::move(subnet.error()).in(what + " network"));
    text = policy::text_of(*subnet);
  }
  return Done{};
}

// In their one form.
Result<wire::SiteNetworks> checked(wire::SiteNetworks networks) {
  if (auto good = check_subnets(networks.subnets, "own"); !good)
    return fail(std::move(good.error()));
  if (auto good = check_subnets(networks.publics, "public"); !good)
    return fail(std::move(good.error()));
  if ((networks.automatic || networks.enforce) &&
      (networks.subnets.empty() || networks.publics.empty()))
    return fail(ErrorKind::refused,
                "to place devices by their network, or to keep to it, a site needs both: give "
                "--subnet (the devices' own addresses) and --public (where the origin sees them "
                "come from)");
  return networks;
}

std::string described(const wire::SiteNetworks& networks) {
  return "subnets=" + joined(networks.subnets) + " publics=" + joined(networks.publics) +
         (networks.automatic ? " automatic" : "") + (networks.enforce ? " enforce" : "");
}

// The first subnet is what older programs show.
void take(wire::SiteInfo& site, wire::SiteNetworks networks) {
  site.subnet = networks.subnets.empty() ? "" : networks.subnets.front();
  site.networks = std::move(networks);
}

}  // namespace

Status Catalog::add_site(const Act& act, const wire::SiteRequest& request) {
  if (auto ok = check_name("the site's name", request.name); !ok) return ok;
  wire::SiteInfo site{.name = request.name, .subnet = request.subnet};
  if (request.networks) {
    auto networks = checked(*request.networks);
    if (!networks) return fail(std::move(networks.error()));
    take(site, std::move(*networks));
  }
  return table_.write([&](Rows& rows) -> Status {
    auto taken = rows.get("site/" + request.name);
    if (!taken) return fail(std::move(taken.error()));
    if (*taken) return fail(ErrorKind::refused, "there is a site '" + request.name + "' already");
    if (auto put = rows.put("site/" + request.name, wire::to_json(site)); !put) return put;
    return append_audit(rows, act, "site.add", request.name,
                        site.networks ? described(*site.networks) : request.subnet);
  });
}

Result<std::vector<wire::SiteInfo>> Catalog::sites() const {
  return reading<std::vector<wire::SiteInfo>>(
      table_, [](const Rows& rows) -> Result<std::vector<wire::SiteInfo>> {
        auto sites = load_all(rows, "site/", wire::parse_site_info);
        auto devices = load_all(rows, "device/", wire::parse_device_info);
        if (!sites) return sites;
        if (!devices) return fail(std::move(devices.error()));
        for (wire::SiteInfo& site : *sites)
          for (const wire::DeviceInfo& device : *devices) site.devices += device.site == site.name;
        return sites;
      });
}

Result<wire::SiteInfo> Catalog::site(const std::string& name) const {
  return reading<wire::SiteInfo>(table_, [&](const Rows& rows) { return load_site(rows, name); });
}

Status Catalog::set_appoint(const Act& act, const std::string& name, bool appoint) {
  return table_.write([&](Rows& rows) -> Status {
    auto site = load_site(rows, name);
    if (!site) return fail(std::move(site.error()));
    site->appoint = appoint;
    if (auto put = rows.put("site/" + name, wire::to_json(*site)); !put) return put;
    return append_audit(rows, act, "site.appoint", name, appoint ? "on" : "off");
  });
}

Status Catalog::set_transport(const Act& act, const std::string& name,
                              const std::string& transport) {
  const bool is_rule = policy::wan_transport_named(transport).has_value();
  if (!is_rule && transport != "auto")
    return fail(ErrorKind::invalid, "a line is used by auto, swarm or https, not by '" +
                                        printable(transport, 16) + "'");
  return table_.write([&](Rows& rows) -> Status {
    auto site = load_site(rows, name);
    if (!site) return fail(std::move(site.error()));
    site->transport = is_rule ? std::optional(transport) : std::nullopt;
    if (auto put = rows.put("site/" + name, wire::to_json(*site)); !put) return put;
    return append_audit(rows, act, "site.transport", name, transport);
  });
}

Result<wire::SiteInfo> Catalog::set_reflectors(const Act& act, const std::string& name,
                                               const wire::ReflectorsRequest& request) {
  return writing<wire::SiteInfo>(table_, [&](Rows& rows) -> Result<wire::SiteInfo> {
    auto site = load_site(rows, name);
    if (!site) return site;
    if (request.count) {
      if (*request.count < 1 || *request.count > wire::kReflectorsMax)
        return fail(ErrorKind::invalid, "a site uses 1 to " + std::to_string(wire::kReflectorsMax) +
                                            " reflectors, not " + std::to_string(*request.count));
      site->reflectors = *request.count == 1 ? std::nullopt : request.count;
    }
    if (request.devices) {
      std::set<DeviceId> seen;
      for (const DeviceId& id : *request.devices) {
        if (!seen.insert(id).second)
          return fail(ErrorKind::invalid, "device " + id.hex() + " is named twice");
        auto device = load_device(rows, id);
        if (!device) return fail(std::move(device.error()));
        if (device->site != name)
          return fail(ErrorKind::invalid, "device " + id.hex() + " is not at site " + name +
                                              ": place it there first (lamina device assign)");
      }
      site->reflector_devices =
          request.devices->empty() ? std::nullopt : std::optional(*request.devices);
    }
    if (auto put = rows.put("site/" + name, wire::to_json(*site)); !put)
      return fail(std::move(put.error()));
    std::string text = "count=" + std::to_string(site->reflectors.value_or(1)) + " devices=";
    for (const DeviceId& id : site->reflector_devices.value_or(std::vector<DeviceId>{}))
      text += (text.ends_with('=') ? "" : ",") + id.hex();
    if (auto noted = append_audit(rows, act, "site.reflectors", name, text); !noted)
      return fail(std::move(noted.error()));
    return site;
  });
}

Status Catalog::set_networks(const Act& act, const std::string& name, wire::SiteNetworks networks) {
  auto good = checked(std::move(networks));
  if (!good) return fail(std::move(good.error()));
  return table_.write([&](Rows& rows) -> Status {
    auto site = load_site(rows, name);
    if (!site) return fail(std::move(site.error()));
    const std::string detail = described(*good);
    take(*site, std::move(*good));
    if (auto put = rows.put("site/" + name, wire::to_json(*site)); !put) return put;
    return append_audit(rows, act, "site.networks", name, detail);
  });
}

}  // namespace lamina::origin
