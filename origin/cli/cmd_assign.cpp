#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

void add_assign(CLI::App& app, Run& run) {
  auto* assign = app.add_subcommand("assign", "say which layers devices must have");
  assign->footer("Example: lamina assign --site north --layers debian:1.0,office:3");
  auto budget = std::make_shared<std::string>();
  auto site = std::make_shared<std::string>(), device = std::make_shared<std::string>(),
       layers = std::make_shared<std::string>();
  auto* to = assign->add_option_group("to")->require_option(1);
  to->add_option("--site", *site, "every device of this site");
  to->add_option("--device", *device, "one device, 32 hex digits");
  assign->add_option("--layers", *layers, "NAME:VERSION,..., base first; empty takes all away")
      ->required();
  assign->add_option("--wan-budget", *budget,
                     "when a device that does not fetch for its site may use the line after all: "
                     "'never' (default), 'after 2 h', 'up to 10 MB'");
  assign->callback([&run, site, device, layers, budget] {
    run = [site, device, layers, budget](Session& s) -> Status {
      wire::AssignmentRequest request{.site = *site, .devices = {}, .layers = split(*layers)};
      if (!budget->empty()) request.wan_budget = *budget;
      if (!device->empty()) {
        auto id = DeviceId::parse(*device);
        if (!id) return fail(std::move(id.error()).in("--device"));
        request.devices.push_back(*id);
      }
      auto body = s.call("POST", "/v1/assignments", wire::to_json(request));
      if (!body) return fail(std::move(body.error()));
      *s.out << (s.json ? *body + "\n" : std::string("assigned\n"));
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
