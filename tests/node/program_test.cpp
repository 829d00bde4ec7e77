#include "node/program.hpp"

#include "tests/support/command_walk.hpp"

using namespace lamina;

TEST_CASE("lamina-node: its commands have examples, and can be rehearsed and read by programs",
          "[node][cli]") {
  tests::check_commands(
      {.name = "lamina-node",
       .tree = node::command_tree,
       .without_dry_run = {"cache export", "metrics", "run", "status", "support-bundle", "worker"},
       .without_json = {"metrics", "run", "worker"}});
}
