#include "sim/cli/program.hpp"

#include "tests/support/command_walk.hpp"

using namespace lamina;

// They write nothing but files and directories that the caller names.
TEST_CASE("lamina-sim: its commands have examples, and can be read by programs", "[sim][cli]") {
  tests::check_commands({.name = "lamina-sim",
                         .tree = sim::command_tree,
                         .without_dry_run = {"calibrate", "check", "compare", "emulate", "fail",
                                             "import", "init", "run", "solve", "sweep"},
                         .without_json = {}});
}
