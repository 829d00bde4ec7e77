#include <nlohmann/json.hpp>

#include "origin/cli/layer_commands.hpp"
#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

struct Words {
  std::string name;
  std::string budget;
  bool dry_run = false;
};

Status upgrade(Session& s, const Words& words) {
  wire::UpgradeRequest request{.name = words.name};
  if (!words.budget.empty()) request.wan_budget = words.budget;
  s.dry_run = s.dry_run || words.dry_run;
  auto body = s.call("POST", "/v1/assignments/upgrade", wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  auto reply = wire::parse_upgrade_reply(*body);
  if (!reply) return fail(std::move(reply.error()));
  std::size_t moved = 0, left = 0;
  std::string why;
  Session::Rows rows{{"DEVICE", "FROM", "TO", "LAYERS"}};
  for (const wire::UpgradeMove& move : reply->moves) {
    (move.refused ? left : moved) += move.devices.size();
    if (move.refused) why = printable(*move.refused, 1000);
    std::string stack;
    for (const std::string& layer : move.layers) stack += (stack.empty() ? "" : ",") + layer;
    for (const DeviceId& device : move.devices) {
      if (s.json)
        *s.out << nlohmann::json{{"device", device.hex()},
                                 {"from", move.from},
                                 {"to", reply->to},
                                 {"layers", move.layers},
                                 {"moved", !move.refused && !s.dry_run},
                                 {"refused", printable(move.refused.value_or(""), 1000)}}
                      .dump()
               << '\n';
      rows.push_back({device.hex(), move.from, move.refused ? "stays" : reply->to, stack});
    }
  }
  if (!s.json && rows.size() > 1) s.table(rows);
  if (!s.json)
    *s.out << moved << (s.dry_run ? " devices would move to " : " devices move to ") << reply->to
           << '\n';
  if (left == 0) return Done{};
  return fail(ErrorKind::refused, std::to_string(left) + " devices stay as they are: " + why);
}

}  // namespace

void add_layer_upgrade(CLI::App& layer, Run& run) {
  auto words = std::make_shared<Words>();
  auto* command = layer.add_subcommand(
      "upgrade", "assign the newest version of a layer wherever an older one is assigned");
  command->footer(
      "The origin moves all of them in one transaction. The other layers of a device stay, in "
      "their "
      "order.\nDevices that the newest version does not fit stay as they are and are told (exit "
      "code 5); the others move\nall the same. As `lamina assign` does, it ends what was staged. "
      "For waves with gates there is `lamina rollout`.\n"
      "Example: lamina layer upgrade firefox --dry-run");
  command->add_option("NAME", words->name, "the layer's name, without a version")->required();
  command->add_option("--wan-budget", words->budget, "as of `lamina assign`");
  command->add_flag("--dry-run", words->dry_run, "list the devices and change nothing");
  command->callback([&run, words] { run = [words](Session& s) { return upgrade(s, *words); }; });
}

}  // namespace lamina::origin::cli
