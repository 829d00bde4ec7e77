#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

std::string share_of(std::int64_t part, std::int64_t rest) {
  if (part <= 0) return "0 %";
  const double share =
      static_cast<double>(part) / (static_cast<double>(part) + static_cast<double>(rest));
  return std::to_string(static_cast<int>(share * 100)) + " %";
}

Status show_savings(Session& s) {
  auto body = s.get("/v1/savings");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_savings_list(*body);
  if (!list) return fail(std::move(list.error()));
  Session::Rows rows{{"SITE", "DAYS", "LAN", "WAN", "SAVED", "WAN RATE"}};
  for (const wire::SiteSavings& i : list->savings) {
    if (s.json) *s.out << wire::to_json(i) << '\n';
    rows.push_back({i.site, std::to_string(i.days), to_text(Bytes{i.lan_bytes}),
                    to_text(Bytes{i.wan_bytes}), share_of(i.lan_bytes, i.wan_bytes),
                    i.wan_rate ? to_text(BitRate{*i.wan_rate}) : "-"});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

std::string holders_of(const wire::SiteInfo& site) {
  std::vector<DeviceId> holders = site.lease_holders.value_or(std::vector<DeviceId>{});
  if (holders.empty() && site.lease_holder) holders = {*site.lease_holder};
  std::string text;
  for (const DeviceId& holder : holders) text += (text.empty() ? "" : ",") + holder.short_hex();
  return text.empty() ? "-" : text;
}

struct Reflectors {
  std::string site;
  std::optional<int> count;
  std::vector<std::string> devices;
  bool clear = false;
};

// What the options of `site add` and `site edit` say; absent: not given.
struct NetworkOptions {
  std::vector<std::string> subnets;
  std::vector<std::string> publics;
  std::string automatic;  // "on", "off" or empty.
  std::string enforce;

  bool is_given() const {
    return !subnets.empty() || !publics.empty() || !automatic.empty() || !enforce.empty();
  }
};

void add_network_options(CLI::App& command, NetworkOptions& options) {
  command.add_option("--subnet", options.subnets,
                     "CIDR of its devices' addresses; several allowed");
  command.add_option("--public", options.publics,
                     "address or CIDR that the origin sees its devices come from; several allowed");
  command
      .add_option("--automatic", options.automatic,
                  "on: enrolled devices that are in these networks are placed here, and leave with "
                  "them")
      ->check(CLI::IsMember({"on", "off"}));
  command
      .add_option("--enforce", options.enforce,
                  "on: devices placed here by hand or token get nothing while they are elsewhere")
      ->check(CLI::IsMember({"on", "off"}));
}

wire::SiteNetworks with_options(wire::SiteNetworks networks, const NetworkOptions& options) {
  if (!options.subnets.empty()) networks.subnets = options.subnets;
  if (!options.publics.empty()) networks.publics = options.publics;
  if (!options.automatic.empty()) networks.automatic = options.automatic == "on";
  if (!options.enforce.empty()) networks.enforce = options.enforce == "on";
  return networks;
}

Result<wire::SiteInfo> find_site(Session& s, const std::string& name) {
  auto body = s.get("/v1/sites");
  if (!body) return fail(std::move(body.error()));
  auto list = wire::parse_site_list(*body);
  if (!list) return fail(std::move(list.error()));
  for (wire::SiteInfo& site : list->sites)
    if (site.name == name) return std::move(site);
  return fail(ErrorKind::not_found,
              "there is no site '" + printable(name, 80) + "'; `lamina site ls` lists them");
}

std::string networks_of(const wire::SiteInfo& site) {
  if (!site.networks) return site.subnet;
  std::string text;
  for (const std::string& subnet : site.networks->subnets)
    text += (text.empty() ? "" : " ") + subnet;
  for (std::size_t i = 0; i < site.networks->publics.size(); ++i)
    text += (i == 0 ? " behind " : " ") + site.networks->publics[i];
  if (site.networks->automatic) text += ", automatic";
  if (site.networks->enforce) text += ", enforced";
  return text;
}

Status set_transport(Session& s, const std::string& name, const std::string& transport) {
  auto body = s.call("POST", "/v1/sites/" + encoded(name) + "/transport",
                     wire::to_json(wire::TransportRequest{transport}));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "site " + name + ": transport " + transport);
  return Done{};
}

Status show_site(Session& s, const std::string& name) {
  auto site = find_site(s, name);
  if (!site) return fail(std::move(site.error()));
  if (s.json) {
    *s.out << wire::to_json(*site) << '\n';
    return Done{};
  }
  const std::string transport = site->transport.value_or("auto");
  *s.out << "site        " << site->name << "\nnetworks    " << networks_of(*site)
         << "\ndevices     " << site->devices << "\nappoint     "
         << (site->appoint.value_or(true) ? "on" : "off") << "\nreflectors  "
         << site->reflectors.value_or(1) << "\nlease       " << holders_of(*site)
         << "\ntransport   " << transport
         << (site->transport ? " (by rule)" : " (as its devices find out)") << '\n';
  return Done{};
}

Status edit_site(Session& s, const std::string& name, const NetworkOptions& options,
                 const std::string& transport) {
  if (!transport.empty())
    if (auto done = set_transport(s, name, transport); !done) return done;
  if (!options.is_given()) return Done{};
  auto site = find_site(s, name);
  if (!site) return fail(std::move(site.error()));
  wire::SiteNetworks before = site->networks.value_or(wire::SiteNetworks{});
  // A site of before networks were known has its one subnet in another place.
  if (!site->networks && !site->subnet.empty()) before.subnets = {site->subnet};
  auto body = s.call("POST", "/v1/sites/" + encoded(name) + "/networks",
                     wire::to_json(with_options(std::move(before), options)));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "site " + name + " has these networks from now on");
  return Done{};
}

Result<wire::SiteInfo> set_reflectors(Session& s, const Reflectors& wanted) {
  wire::ReflectorsRequest request{.count = wanted.count};
  if (wanted.clear) request = {.count = 1, .devices = std::vector<DeviceId>{}};
  for (const std::string& word : wanted.devices) {
    auto id = DeviceId::parse(word);
    if (!id) return fail(std::move(id.error()).in("--device"));
    if (!request.devices) request.devices.emplace();
    request.devices->push_back(*id);
  }
  auto body =
      s.call("POST", "/v1/sites/" + encoded(wanted.site) + "/reflectors", wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  return wire::parse_site_info(*body);
}

Status reflectors(Session& s, const Reflectors& wanted) {
  const bool is_change = wanted.count || !wanted.devices.empty() || wanted.clear;
  auto site = is_change ? set_reflectors(s, wanted) : find_site(s, wanted.site);
  if (!site) return fail(std::move(site.error()));
  if (s.json) {
    *s.out << wire::to_json(*site) << '\n';
    return Done{};
  }
  if (s.dry_run) *s.out << "dry run, nothing is changed; it would be:\n";
  *s.out << "site " << site->name << " uses " << site->reflectors.value_or(1)
         << " reflector(s) at a time; leases: " << holders_of(*site) << '\n';
  if (!site->reflector_devices) *s.out << "no device comes before others\n";
  for (const DeviceId& device : site->reflector_devices.value_or(std::vector<DeviceId>{}))
    *s.out << "first: " << device.hex() << '\n';
  return Done{};
}

void add_reflectors(CLI::App& site, Run& run) {
  auto wanted = std::make_shared<Reflectors>();
  auto* command = site.add_subcommand(
      "reflectors", "how many devices fetch for the site at the same time, and which come first");
  command->footer(
      "Without options it prints what is set. Named devices fetch before all others, and also "
      "where\n"
      "appointment is off. With more than one, each fetches its part of the pieces.\n"
      "Example: lamina site reflectors north --count 2 --device "
      "0123456789abcdef0123456789abcdef");
  command->add_option("site", wanted->site, "the site")->required();
  command->add_option("--count", wanted->count, "at the same time: 1 to 4 (1)");
  command->add_option("--device", wanted->devices,
                      "one that comes first, again for each; they replace those that were named");
  command->add_flag("--clear", wanted->clear, "one at a time, and no device comes first")
      ->excludes("--count")
      ->excludes("--device");
  command->callback(
      [&run, wanted] { run = [wanted](Session& s) { return reflectors(s, *wanted); }; });
}

}  // namespace

void add_site(CLI::App& app, Run& run) {
  auto* site = app.add_subcommand("site", "branches and their subnets");
  site->require_subcommand(1);
  site->footer("Example: lamina site add north --subnet 10.1.0.0/24");
  auto request = std::make_shared<wire::SiteRequest>();
  auto* add = site->add_subcommand("add", "make a site");
  auto options = std::make_shared<NetworkOptions>();
  add->add_option("name", request->name, "its name")->required();
  add_network_options(*add, *options);
  add->footer(
      "Example: lamina site add north --subnet 192.168.1.0/24 --public 203.0.113.7 --automatic on");
  add->callback([&run, request, options] {
    run = [request, options](Session& s) -> Status {
      const auto networks = with_options({}, *options);
      if (networks != wire::SiteNetworks{}) request->networks = networks;
      auto body = s.call("POST", "/v1/sites", wire::to_json(*request));
      if (!body) return fail(std::move(body.error()));
      s.tell(*body, "site " + request->name + " made");
      return Done{};
    };
  });
  auto edited = std::make_shared<std::string>(), transport = std::make_shared<std::string>();
  auto* edit = site->add_subcommand(
      "edit",
      "by which networks devices are known to be there, and how its line is used; what is not "
      "given stays");
  edit->add_option("name", *edited, "the site")->required();
  add_network_options(*edit, *options);
  edit->add_option("--transport", *transport,
                   "how layers cross its line: swarm (from seeders), https (as ranges from the "
                   "API's port), or auto (ranges while no seeder can be reached)")
      ->check(CLI::IsMember({"auto", "swarm", "https"}));
  edit->require_option(2, 0);
  edit->footer(
      "Each option takes the place of all that the site had of its kind. Its devices follow at "
      "once.\n"
      "Example: lamina site edit north --transport https\n"
      "Example: lamina site edit north --public 203.0.113.7 --public 198.51.100.0/28 --enforce on");
  edit->callback([&run, edited, options, transport] {
    run = [edited, options, transport](Session& s) {
      return edit_site(s, *edited, *options, *transport);
    };
  });
  auto shown = std::make_shared<std::string>();
  auto* show = site->add_subcommand("show", "what is settled about a site");
  show->add_option("name", *shown, "the site")->required();
  show->footer("Example: lamina site show north");
  show->callback([&run, shown] { run = [shown](Session& s) { return show_site(s, *shown); }; });
  auto name = std::make_shared<std::string>(), word = std::make_shared<std::string>();
  auto* appoint = site->add_subcommand(
      "appoint", "whether a device of the site fetches for it without being told to");
  appoint->footer("Example: lamina site appoint north off");
  appoint->add_option("name", *name, "the site")->required();
  appoint->add_option("appoint", *word, "on or off")
      ->required()
      ->check(CLI::IsMember({"on", "off"}));
  appoint->callback([&run, name, word] {
    run = [name, word](Session& s) -> Status {
      const wire::AppointRequest appoint_request{*word == "on"};
      auto body = s.call("POST", "/v1/sites/" + encoded(*name) + "/appoint",
                         wire::to_json(appoint_request));
      if (!body) return fail(std::move(body.error()));
      s.tell(*body, "site " + *name + ": appointment " + *word);
      return Done{};
    };
  });
  add_reflectors(*site, run);
  auto* savings = site->add_subcommand(
      "savings", "bytes that devices had from each other instead of over the line");
  savings->footer(
      "The last 7 and 28 days (UTC), today included. LAN: from devices of the site; WAN: over the\n"
      "line; SAVED: the share that did not cross the line; WAN RATE: the most that a device "
      "received\n"
      "over the line for 10 s or longer.\n"
      "Example: lamina site savings --json");
  savings->callback([&run] { run = show_savings; });
  site->add_subcommand("ls", "list the sites")->footer("Example: lamina site ls")->callback([&run] {
    run = [](Session& s) -> Status {
      auto body = s.get("/v1/sites");
      if (!body) return fail(std::move(body.error()));
      auto list = wire::parse_site_list(*body);
      if (!list) return fail(std::move(list.error()));
      Session::Rows rows{{"SITE", "NETWORKS", "DEVICES", "APPOINT", "REFLECTORS", "LEASE"}};
      for (const auto& i : list->sites) {
        if (s.json) *s.out << wire::to_json(i) << '\n';
        rows.push_back({i.name, networks_of(i), std::to_string(i.devices),
                        i.appoint.value_or(true) ? "on" : "off",
                        std::to_string(i.reflectors.value_or(1)), holders_of(i)});
      }
      if (!s.json) s.table(rows);
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
