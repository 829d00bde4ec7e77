#include "node/net/settled.hpp"

#include <catch2/catch.hpp>

#include "shared/os/file.hpp"
#include "tests/support/scratch.hpp"

using namespace lamina;
using namespace lamina::node;

namespace {

wire::ReflectorSettings settings() {
  return {.version = 3,
          .mode = "suspended",
          .rejected = {*DeviceId::parse(std::string(32, '2'))},
          .commands = {{5, "rebuild"}, {4, "sync"}},
          .last_command = 5};
}

}  // namespace

TEST_CASE("settled: what the origin said holds after a restart", "[node]") {
  const tests::Scratch scratch;
  const std::string path = scratch / "reflector.json";
  {
    Settled settled(path);
    CHECK(settled.mode() == policy::ReflectorMode::active);
    CHECK_FALSE(settled.next_command());
    CHECK(settled.heard(settings()));
    CHECK_FALSE(settled.heard(settings()));  // Nothing new.
    REQUIRE(settled.next_command());
    CHECK(settled.next_command()->number == 4);
    settled.carried_out(4);
  }
  Settled settled(path);
  CHECK(settled.settings() == settings());
  CHECK(settled.mode() == policy::ReflectorMode::suspended);
  CHECK_FALSE(settled.duties().leads);
  // Each command once, in the order of numbers.
  CHECK(settled.command_done() == 4);
  CHECK(settled.next_command()->what == "rebuild");
  settled.carried_out(5);
  CHECK_FALSE(settled.next_command());
  CHECK_FALSE(Settled(path).next_command());
}

TEST_CASE("settled: rejected peers are met no more", "[node]") {
  const tests::Scratch scratch;
  Settled settled(scratch / "reflector.json");
  const wire::Peer ann{*DeviceId::parse(std::string(32, '1')), "10.0.0.1", 8444};
  const wire::Peer bob{*DeviceId::parse(std::string(32, '2')), "10.0.0.2", 8444};
  CHECK(settled.accepted({ann, bob}).size() == 2);
  settled.heard(settings());
  CHECK(settled.accepted({ann, bob}) == std::vector<wire::Peer>{ann});
}

TEST_CASE("settled: an origin restored from a backup counts on from an older command", "[node]") {
  const tests::Scratch scratch;
  Settled settled(scratch / "reflector.json");
  settled.heard(settings());
  settled.carried_out(5);
  settled.heard({.version = 2, .commands = {}, .last_command = 2});
  CHECK(settled.mode() == policy::ReflectorMode::active);
  settled.heard({.version = 3, .commands = {{3, "sync"}}, .last_command = 3});
  REQUIRE(settled.next_command());
  CHECK(settled.next_command()->number == 3);
}

TEST_CASE("settled: a file that is none counts as none", "[node]") {
  const tests::Scratch scratch;
  const std::string path = scratch / "reflector.json";
  for (const std::string text :
       {"", "[]", "{}", R"({"settings":{},"command_done":1})", R"({"settings":7,"command_done":1})",
        R"({"settings":{"version":1},"command_done":-1})"}) {
    INFO(text);
    REQUIRE(os::write_file(path, as_view(text)));
    Settled settled(path);
    CHECK(settled.settings() == wire::ReflectorSettings{});
    CHECK(settled.command_done() == 0);
  }
}
