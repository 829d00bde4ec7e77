#include "origin/cli/addressees.hpp"
#include "origin/cli/assignment_report.hpp"
#include "origin/cli/session.hpp"

namespace lamina::origin::cli {
namespace {

struct Words {
  Addressees to;
  std::optional<std::string> layers;
  std::string add, remove, budget;
  bool dry_run = false;
  bool paths = false;
};

Status assign(Session& s, const Words& words) {
  ReportRequest report{.assignment = {}, .paths = words.paths};
  wire::AssignmentRequest& request = report.assignment;
  if (auto good = words.to.put_into(request); !good) return good;
  request.layers = split(words.layers.value_or(""));
  if (!words.add.empty()) request.add = split(words.add);
  if (!words.remove.empty()) request.remove = split(words.remove);
  if (!words.budget.empty()) request.wan_budget = words.budget;
  if (words.dry_run) return report_assignment(s, report);
  auto body = s.call("POST", assignment_path(request), wire::to_json(request));
  if (!body) return fail(std::move(body.error()));
  s.tell(*body, "assigned");
  return Done{};
}

}  // namespace

void add_assign(CLI::App& app, Run& run) {
  auto words = std::make_shared<Words>();
  auto* command = app.add_subcommand("assign", "say which layers devices must have");
  command->footer(
      "A dry run asks the origin whether it would take the assignment, and compares what each "
      "device has\napplied with what it would get: entries added, replaced, with other metadata "
      "alone, and removed; bytes\nto download, and what the volume must have free; warnings; and "
      "where a layer hides what another one has.\nWhat a user changed on a device is not known to "
      "it.\n"
      "Example: lamina assign --site north --layers debian:1.0,office:3\n"
      "Example: lamina assign --collection tills --add office:4 --remove mail --dry-run");
  words->to.add_options(*command);
  auto* what = command->add_option_group("what")->require_option(1, 2);
  auto* layers = what->add_option("--layers", words->layers,
                                  "NAME:VERSION,..., base first; empty takes all away");
  what->add_option("--add", words->add,
                   "NAME:VERSION,... beside what each device has: in the place of another version, "
                   "or last")
      ->excludes(layers);
  what->add_option("--remove", words->remove, "NAME,... of what each device has")->excludes(layers);
  command->add_option("--wan-budget", words->budget,
                      "when a device that does not fetch for its site may use the line after all: "
                      "'never' (default), 'after 2 h', 'up to 10 MB'");
  auto* dry = command->add_flag("--dry-run", words->dry_run,
                                "say what it would do to each device; nothing changes");
  command->add_flag("--paths", words->paths, "with --dry-run: every path, and every conflict")
      ->needs(dry);
  command->callback([&run, words] { run = [words](Session& s) { return assign(s, *words); }; });
}

}  // namespace lamina::origin::cli
