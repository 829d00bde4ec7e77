#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {

void add_device(CLI::App& app, Run& run) {
  auto* device = app.add_subcommand("device", "the registered devices");
  device->require_subcommand(1);
  device->footer("Example: lamina device assign 00112233445566778899aabbccddeeff --site north");
  auto id = std::make_shared<std::string>();
  auto request = std::make_shared<wire::PlaceRequest>();
  device->add_subcommand("ls", "list the devices")->callback([&run] {
    run = [](Session& s) -> Status {
      auto body = s.get("/v1/devices");
      if (!body) return fail(std::move(body.error()));
      auto list = wire::parse_device_list(*body);
      if (!list) return fail(std::move(list.error()));
      Session::Rows rows{{"DEVICE", "STATUS", "SITE", "HOST", "TARGET", "APPLIED", "MISSING"}};
      for (const auto& i : list->devices) {
        if (s.json) *s.out << wire::to_json(i) << '\n';
        rows.push_back({i.id.hex(), std::string(wire::name_of(i.status)), i.site,
                        printable(i.host_name), std::to_string(i.target_sequence),
                        std::to_string(i.applied_sequence), to_text(Bytes{i.missing_bytes})});
      }
      if (!s.json) s.table(rows);
      return Done{};
    };
  });
  auto* show = device->add_subcommand("show", "one device, as JSON");
  show->add_option("id", *id, "32 hex digits")->required();
  show->callback([&run, id] {
    run = [id](Session& s) -> Status {
      auto body = s.get("/v1/devices/" + encoded(*id));
      if (!body) return fail(std::move(body.error()));
      *s.out << *body << '\n';
      return Done{};
    };
  });
  auto* assign = device->add_subcommand("assign", "accept a device and place it in a site");
  assign->add_option("id", *id, "32 hex digits")->required();
  assign->add_option("--site", request->site, "its site")->required();
  assign->callback([&run, id, request] {
    run = [id, request](Session& s) -> Status {
      auto body =
          s.call("POST", "/v1/devices/" + encoded(*id) + "/assign", wire::to_json(*request));
      if (!body) return fail(std::move(body.error()));
      *s.out << (s.json ? *body + "\n" : *id + " is in site " + request->site + "\n");
      return Done{};
    };
  });
  auto* reject = device->add_subcommand("reject", "shut a device out");
  reject->add_option("id", *id, "32 hex digits")->required();
  reject->callback([&run, id] {
    run = [id](Session& s) -> Status {
      auto body = s.call("POST", "/v1/devices/" + encoded(*id) + "/reject", "{}");
      if (!body) return fail(std::move(body.error()));
      *s.out << (s.json ? *body + "\n" : *id + " is rejected\n");
      return Done{};
    };
  });
}

}  // namespace lamina::origin::cli
