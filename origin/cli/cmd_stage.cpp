#include "origin/cli/addressees.hpp"
#include "origin/cli/session.hpp"

namespace lamina::origin::cli {
namespace {

struct Words {
  Addressees to;
  std::string layers, budget;
};

Status stage(Session& s, const Words& words) {
  wire::AssignmentRequest request{
      .site = {}, .devices = {}, .layers = split(words.layers), .stage = true};
  if (!words.budget.empty()) request.wan_budget = words.budget;
  if (auto good = words.to.put_into(request); !good) return good;
  auto body = s.call("POST", "/v1/assignments", wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, request.layers.empty() ? "nothing is staged any more" : "staged");
  return Done{};
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
  words->to.add_options(*command);
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
  words->to.add_options(*away);
  away->callback([&run, words] { run = [words](Session& s) { return stage(s, *words); }; });
}

}  // namespace lamina::origin::cli
