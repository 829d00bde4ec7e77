#include "origin/cli/session.hpp"
#include "shared/wire/admin.hpp"

namespace lamina::origin::cli {
namespace {

struct Words {
  std::string site, device, layers, budget;
};

Status stage(Session& s, const Words& words) {
  wire::AssignmentRequest request{
      .site = words.site, .devices = {}, .layers = split(words.layers), .stage = true};
  if (!words.budget.empty()) request.wan_budget = words.budget;
  if (!words.device.empty()) {
    auto id = DeviceId::parse(words.device);
    if (!id) return fail(std::move(id.error()).in("--device"));
    request.devices.push_back(*id);
  }
  auto body = s.call("POST", "/v1/assignments", wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  *s.out << (s.json                   ? *body + "\n"
             : request.layers.empty() ? std::string("nothing is staged any more\n")
                                      : std::string("staged\n"));
  return Done{};
}

void add_place(CLI::App& command, Words& words) {
  auto* to = command.add_option_group("to")->require_option(1);
  to->add_option("--site", words.site, "every device of this site");
  to->add_option("--device", words.device, "one device, 32 hex digits");
}

}  // namespace

void add_stage(CLI::App& app, Run& run) {
  auto words = std::make_shared<Words>();
  auto* command = app.add_subcommand(
      "stage", "bring layers into the caches of devices ahead of time, and apply nothing");
  command->footer(
      "Takes the place of what was staged before. `lamina reflector ls` shows how warm a site is;\n"
      "`lamina assign` ends it.\n"
      "Example: lamina stage --site north --layers debian:12.11,office:3");
  add_place(*command, *words);
  command->add_option("--layers", words->layers, "NAME:VERSION,..., base first")->required();
  command->add_option("--wan-budget", words->budget, "as of `lamina assign`");
  command->callback([&run, words] {
    run = [words](Session& s) -> Status {
      if (split(words->layers).empty())
        return fail(ErrorKind::invalid, "--layers names none; `lamina unstage` takes them away");
      return stage(s, *words);
    };
  });
  auto* away = app.add_subcommand("unstage", "take staged layers away again");
  away->footer("Example: lamina unstage --site north");
  add_place(*away, *words);
  away->callback([&run, words] { run = [words](Session& s) { return stage(s, *words); }; });
}

}  // namespace lamina::origin::cli
