#include "origin/program.hpp"

#include "tests/support/command_walk.hpp"

using namespace lamina;

TEST_CASE("lamina-origin: its commands have examples, and can be rehearsed and read by programs",
          "[origin][cli]") {
  tests::check_commands({.name = "lamina-origin",
                         .tree = origin::command_tree,
                         .without_dry_run = {"backup", "capacity", "check", "init", "replay",
                                             "restore", "seed", "serve", "support-bundle"},
                         .without_json = {"seed", "serve"}});
}
