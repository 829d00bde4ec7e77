#include "origin/cli/capture_layer.hpp"
#include "origin/cli/capture_snapshot.hpp"
#include "origin/cli/layer_commands.hpp"
#include "origin/cli/session.hpp"

namespace lamina::origin::cli {

void add_layer_capture(CLI::App& layer, Run& run) {
  auto request = std::make_shared<CaptureRequest>();
  auto* command = layer.add_subcommand("capture", "capture a directory tree and publish it");
  command->footer(
      "What identifies a machine, its logs and its users' files are left out by rule; --rules adds "
      "your own\nand --dry-run lists what goes by which rule.\n"
      "Example: lamina layer capture --name debian --version 1.0 --kind base --tree /srv/reference "
      "--key publisher.key\n"
      "         lamina layer capture --name nginx --version 1.0 --kind app --tree /srv/with-nginx "
      "--over debian:1.0 --key publisher.key\n"
      "         lamina layer capture --name debian --kind base --snapshot "
      "00112233445566778899aabbccddeeff --key publisher.key");
  add_layer_options(*command, request->order, "base");
  auto* tree = command->add_option("--tree", request->tree, "the directory to capture");
  command
      ->add_option("--snapshot", request->snapshot,
                   "instead: a device's CVD, DEVICE (its newest snapshot) or DEVICE:SNAPSHOT; "
                   "without --over an app layer lies over what the device had applied then")
      ->excludes(tree);
  command->add_option("--over", request->over,
                      "the layers that the tree was made of, base first (NAME:VERSION,...): the "
                      "new one holds what differs from them, and of account files and package "
                      "databases the changed records");
  command->add_option("--rules", request->rules,
                      "a TOML file of own rules: what else to leave out or to make empty");
  command->add_flag("--dry-run", request->dry_run,
                    "list what the rules leave out; nothing is read or sent");
  add_capture_difference(*command, run);
  command->require_subcommand(0, 1);
  command->callback([&run, request, command] {
    if (!command->get_subcommands().empty()) return;  // That one is meant.
    run = [request](Session& s) -> Status {
      if (!request->snapshot.empty()) return capture_snapshot(s, *request);
      if (request->tree.empty()) return fail(ErrorKind::invalid, "--tree or --snapshot is needed");
      return capture_layer(s, *request);
    };
  });
}

}  // namespace lamina::origin::cli
