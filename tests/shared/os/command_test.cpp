#include "shared/os/command.hpp"

#include <catch2/catch.hpp>

#include "shared/os/user.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace std::chrono_literals;

namespace {

os::Root machine() {
  auto root = os::Root::open("/");
  REQUIRE(root);
  return std::move(*root);
}

Result<os::CommandEnd> run(const std::vector<std::string>& words, Duration time = 60s,
                           std::size_t output = 4096) {
  const os::Root root = machine();
  return os::run_command(root, words, {.time = time, .output = output});
}

// Without root there is no new network to be cut off from.
bool may_run() {
  if (os::is_root()) return true;
  WARN("skipped: only root runs commands without network");
  return false;
}

}  // namespace

TEST_CASE("command: exit code and output of both streams", "[os]") {
  if (!may_run()) return;
  const auto ended = run({"sh", "-c", "echo out; echo err >&2; exit 3"});
  REQUIRE(ended);
  CHECK(ended->code == 3);
  CHECK(ended->output == "out\nerr\n");
  CHECK_FALSE(ended->is_late);
  CHECK(run({"sh", "-c", "kill -TERM $$"})->code == 128 + 15);
  const auto long_output = run({"sh", "-c", "yes | head -c 300000"}, 60s, 10);
  REQUIRE(long_output);
  CHECK(long_output->code == 0);
  CHECK(long_output->output == "y\ny\ny\ny\ny\n");
}

TEST_CASE("command: what the tree lacks is said, not failed", "[os]") {
  if (!may_run()) return;
  const auto ended = run({"no-such-program-of-lamina"});
  REQUIRE(ended);
  CHECK(ended->is_absent);
}

TEST_CASE("command: it ends in time, with all that it started", "[os]") {
  if (!may_run()) return;
  const auto late = run({"sh", "-c", "sleep 1000 & sleep 1000"}, 50ms);
  REQUIRE(late);
  CHECK(late->is_late);
}

TEST_CASE("command: it has no network", "[os]") {
  if (!may_run()) return;
  const auto links = run({"sh", "-c", "sed 1,2d /proc/self/net/dev | cut -d: -f1 | tr -d ' '"});
  REQUIRE(links);
  CHECK(links->output == "lo\n");
}
