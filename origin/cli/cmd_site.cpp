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
  Session::Rows rows{{"SITE", "DAYS", "LAN", "WAN", "SAVED"}};
  for (const wire::SiteSavings& i : list->savings) {
    if (s.json) *s.out << wire::to_json(i) << '\n';
    rows.push_back({i.site, std::to_string(i.days), to_text(Bytes{i.lan_bytes}),
                    to_text(Bytes{i.wan_bytes}), share_of(i.lan_bytes, i.wan_bytes)});
  }
  if (!s.json) s.table(rows);
  return Done{};
}

}  // namespace

void add_site(CLI::App& app, Run& run) {
  auto* site = app.add_subcommand("site", "branches and their subnets");
  site->require_subcommand(1);
  site->footer("Example: lamina site add north --subnet 10.1.0.0/24");
  auto request = std::make_shared<wire::SiteRequest>();
  auto* add = site->add_subcommand("add", "make a site");
  add->add_option("name", request->name, "its name")->required();
  add->add_option("--subnet", request->subnet, "CIDR of its devices");
  add->callback([&run, request] {
    run = [request](Session& s) -> Status {
      auto body = s.call("POST", "/v1/sites", wire::to_json(*request));
      if (!body) return fail(std::move(body.error()));
      *s.out << (s.json ? *body + "\n" : "site " + request->name + " made\n");
      return Done{};
    };
  });
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
      *s.out << (s.json ? *body + "\n" : "site " + *name + ": appointment " + *word + "\n");
      return Done{};
    };
  });
  auto* savings = site->add_subcommand(
      "savings", "bytes that devices had from each other instead of over the line");
  savings->footer(
      "The last 7 and 28 days (UTC), today included. LAN: from devices of the site; WAN: over the\n"
      "line; SAVED: the share that did not cross the line.\n"
      "Example: lamina site savings --json");
  savings->callback([&run] { run = show_savings; });
  site->add_subcommand("ls", "list the sites")->callback([&run] {
    run = [](Session& s) -> Status {
      auto body = s.get("/v1/sites");
      if (!body) return fail(std::move(body.error()));
      auto list = wire::parse_site_list(*body);
      if (!list) return fail(std::move(list.error()));
      Session::Rows rows{{"SITE", "SUBNET", "DEVICES", "APPOINT", "LEASE"}};
      for (const auto& i : list->sites) {
        if (s.json) *s.out << wire::to_json(i) << '\n';
        rows.push_back({i.name, i.subnet, std::to_string(i.devices),
                        i.appoint.value_or(true) ? "on" : "off",
                        i.lease_holder ? i.lease_holder->short_hex() : "-"});
      }
      if (!s.json) s.table(rows);
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
