#include <nlohmann/json.hpp>

#include "origin/cli/layer_commands.hpp"
#include "origin/cli/session.hpp"
#include "origin/cli/upgrade.hpp"

namespace lamina::origin::cli {
namespace {

struct UpgradeRequest {
  std::string name;
  std::string budget;
  bool dry_run = false;
};

// An id and what JSON has around it take 35 bytes of a message.
constexpr std::size_t kDevicesAtOnce = 1000;

Status assign(Session& s, const Move& move, const std::string& budget) {
  for (std::size_t at = 0; at < move.devices.size(); at += kDevicesAtOnce) {
    const auto first = move.devices.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t count = std::min(kDevicesAtOnce, move.devices.size() - at);
    wire::AssignmentRequest request{.site = "",
                                    .devices = {first, first + static_cast<std::ptrdiff_t>(count)},
                                    .layers = move.layers};
    if (!budget.empty()) request.wan_budget = budget;
    auto done = s.call("POST", "/v1/assignments", wire::to_json(request));
    if (!done) return fail(std::move(done.error()));
  }
  return Done{};
}

Result<Upgrade> plan(Session& s, const std::string& name) {
  auto layers_body = s.get("/v1/layers");
  if (!layers_body) return fail(std::move(layers_body.error()));
  auto layers = wire::parse_layer_list(*layers_body);
  if (!layers) return fail(std::move(layers.error()));
  auto devices_body = s.get("/v1/devices");
  if (!devices_body) return fail(std::move(devices_body.error()));
  auto devices = wire::parse_device_list(*devices_body);
  if (!devices) return fail(std::move(devices.error()));
  return plan_upgrade(*layers, *devices, name);
}

Status upgrade(Session& s, const UpgradeRequest& request) {
  auto upgrade = plan(s, request.name);
  if (!upgrade) return fail(std::move(upgrade.error()));
  std::size_t moved = 0, left = 0;
  std::string why;
  Session::Rows rows{{"DEVICE", "FROM", "TO", "LAYERS"}};
  for (const Move& move : upgrade->moves) {
    if (move.refused.empty() && !request.dry_run)
      if (auto done = assign(s, move, request.budget); !done)
        return fail(std::move(done.error())
                        .in(std::to_string(moved) + " devices were moved; the next ones"));
    (move.refused.empty() ? moved : left) += move.devices.size();
    if (!move.refused.empty()) why = move.refused;
    std::string stack;
    for (const std::string& layer : move.layers) stack += (stack.empty() ? "" : ",") + layer;
    for (const DeviceId& device : move.devices) {
      if (s.json)
        *s.out << nlohmann::json{{"device", device.hex()},
                                 {"from", move.from},
                                 {"to", upgrade->to},
                                 {"layers", move.layers},
                                 {"moved", move.refused.empty() && !request.dry_run},
                                 {"refused", printable(move.refused, 1000)}}
                      .dump()
               << '\n';
      rows.push_back(
          {device.hex(), move.from, move.refused.empty() ? upgrade->to : "stays", stack});
    }
  }
  if (!s.json && rows.size() > 1) s.table(rows);
  if (!s.json)
    *s.out << moved << (request.dry_run ? " devices would move to " : " devices move to ")
           << upgrade->to << '\n';
  if (left == 0) return Done{};
  return fail(ErrorKind::refused, std::to_string(left) + " devices stay as they are: " + why);
}

}  // namespace

void add_layer_upgrade(CLI::App& layer, Run& run) {
  auto request = std::make_shared<UpgradeRequest>();
  auto* command = layer.add_subcommand(
      "upgrade", "assign the newest version of a layer wherever an older one is assigned");
  command->footer(
      "The other layers of a device stay, in their order. Devices that the newest version does not "
      "fit stay\nas they are and are told (exit code 5); the others move all the same. As `lamina "
      "assign` does, it ends\nwhat was staged. For waves with gates there is `lamina rollout`.\n"
      "Example: lamina layer upgrade firefox --dry-run");
  command->add_option("NAME", request->name, "the layer's name, without a version")->required();
  command->add_option("--wan-budget", request->budget, "as of `lamina assign`");
  command->add_flag("--dry-run", request->dry_run, "list the devices and change nothing");
  command->callback(
      [&run, request] { run = [request](Session& s) { return upgrade(s, *request); }; });
}

}  // namespace lamina::origin::cli
